"""bypass: the database is read, and the queryset left alone."""

from __future__ import annotations

import querycache
from tests.api.helpers import FILES, names
from tests.library.models import Author


class TestBypass:
    @FILES
    def test_reads_the_database(self, warm: str) -> None:
        before = querycache.stats()
        for queryset in (
            querycache.bypass(names(warm)),
            querycache.bypass(names(warm)).filter(name__gt="").exclude(pk=0)[:5],
            querycache.bypass(names(warm)).all(),
        ):
            assert list(queryset) == ["Bob"]
        assert querycache.bypass(Author.objects.using(warm)).get().name == "Bob"
        assert querycache.bypass(Author.objects.using(warm).filter(name="Bob")).exists()
        assert querycache.bypass(Author.objects.using(warm).filter(name="Bob")).count() == 1
        after = querycache.stats()
        assert (after.hits, after.stored) == (before.hits, before.stored)

    @FILES
    def test_leaves_the_queryset_alone(self, warm: str) -> None:
        queryset = names(warm)
        querycache.bypass(queryset)
        assert list(queryset) == ["Ann"]
        assert "bypass" in querycache.explain(querycache.bypass(queryset)).reason
