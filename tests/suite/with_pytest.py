"""Tests as projects write them for pytest-django; `tests/test_pytest_django.py` runs them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import pytest
from django.db import connection, transaction

import querycache
from tests.library.models import Genre
from tests.suite.cases import names

#: Differs between the workers, each of which has a database of its own.
MINE = os.environ.get("PYTEST_XDIST_WORKER", "alone")


@pytest.mark.django_db
@pytest.mark.parametrize("turn", range(6))
def test_rows_of_this_worker_alone(turn: int) -> None:
    assert names() == []
    Genre.objects.create(name=f"{MINE} {turn}")
    assert names() == [f"{MINE} {turn}"]
    with transaction.atomic():
        Genre.objects.create(name="x")
        assert len(names()) == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(4))
def test_rows_that_are_committed(turn: int) -> None:
    assert names() == []
    Genre.objects.create(name=f"{MINE} {turn}")
    hits = querycache.stats().hits
    assert names() == [f"{MINE} {turn}"]
    assert querycache.stats().hits > hits


@pytest.mark.django_db(transaction=True)
def test_live_server(live_server: Any) -> None:
    with urlopen(f"{live_server.url}/genres/?add={MINE}") as response:
        assert json.load(response) == [[MINE], [MINE]]
    assert names() == [MINE]


def test_queries_are_counted(db: None, django_assert_num_queries: Callable[..., Any]) -> None:
    names()
    # A hit that is compared is run; without the comparison it is no query.
    with django_assert_num_queries(1):
        list(Genre.objects.order_by("name").values_list("name", flat=True))
    assert connection.in_atomic_block
