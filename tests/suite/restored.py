"""A test case that brings back what was in the database at the start; alone, as Django wants it."""

from __future__ import annotations

from django.test import TransactionTestCase

from tests.library.models import Genre
from tests.suite.cases import names


class Restored(TransactionTestCase):
    """What was in the database at the start comes back before each test."""

    serialized_rollback = True

    def test_a(self) -> None:
        assert names() == []
        Genre.objects.create(name="a")
        assert names() == ["a"]

    def test_b(self) -> None:
        self.test_a()
