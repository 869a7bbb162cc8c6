"""Texts that are used again are compared with Django's."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

import querycache
from querycache.checked_texts import CheckedTexts
from querycache.compiled import Text
from querycache.state import transaction_of
from tests.compiled.asking import on_sqlite
from tests.environment import configure
from tests.shapes.dataset import Library, populate
from tests.shapes.table import Shape as AskedShape
from tests.test_query_shapes import CASES, OneDatabase, ask

_parameters = Text.parameters


def wrong(text: Text, compiler: Any, shape: Any) -> tuple[Any, ...]:
    """Stand for `Text.parameters`, and do it badly."""
    if _parameters(text, compiler, shape) is None:
        compiler.select, compiler.col_count, compiler.has_extra_select = [], 0, False
    return (1,)


@on_sqlite
@pytest.mark.parametrize("raises", [True, False])
def test_verify_compares_texts(
    database: str,
    raises: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    configure(STORE="memory://", VERIFY=1.0, VERIFY_RAISES=raises)
    m = Library(database)
    populate(m)
    assert isinstance(transaction_of(connections[database]).texts, CheckedTexts)
    expected = list(m.Book.filter(pk=2))
    list(m.Book.filter(pk=1))
    assert not caplog.records
    monkeypatch.setattr(Text, "parameters", wrong)
    with caplog.at_level(logging.ERROR, "querycache.verify"):
        if raises:
            with pytest.raises(querycache.StaleHit):
                list(m.Book.filter(pk=2))
        else:
            assert list(m.Book.filter(pk=2)) == expected
    assert "differs from Django's" in caplog.text


@on_sqlite
def test_verify_compares_what_has_no_text_any_more(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(STORE="memory://", VERIFY=1.0, VERIFY_RAISES=True)
    m = Library(database)
    populate(m)
    list(m.Book.filter(pages=1))
    monkeypatch.setattr(Text, "parameters", wrong)
    with pytest.raises(querycache.StaleHit):
        list(m.Book.filter(pages=2**70))


@pytest.mark.parametrize(
    ("shape", "database"),
    [case for case in CASES if case.values[1] in ("sqlite", "postgresql")],
    indirect=["database"],
)
def test_every_way_to_ask_is_compared(database: str, shape: AskedShape) -> None:
    configure(STORE="memory://", VERIFY=1.0, VERIFY_RAISES=True)
    m = Library(database)
    populate(m)
    with override_settings(DATABASE_ROUTERS=[OneDatabase(database)]):
        for _ in range(2):
            ask(shape, m)
