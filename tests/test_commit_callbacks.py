"""What hooks of a commit, and receivers of its signal, write is no part of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, transaction

from querycache.signals import invalidated
from tests.environment import elsewhere
from tests.kinds import concurrent, every
from tests.library.models import Author, Genre
from tests.watching import (
    RENAME,
    Watch,
    autocommit_off,
    execute,
    genres,
)


@every
def test_a_hook_that_begins_a_transaction(database: str, watch: Watch) -> None:
    """It is over when that is, not when the hooks are."""

    def begin() -> None:
        execute(database, "BEGIN")
        execute(database, RENAME)

    with transaction.atomic(using=database):
        Author.objects.using(database).create(name="Cid")
        transaction.on_commit(begin, using=database)
    execute(database, "COMMIT")
    assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    watch.check_rows()


@every
def test_a_hook_that_fails_is_the_last_one(database: str, watch: Watch) -> None:
    """As without the cache: the rest of them are not run, and autocommit is on."""
    ran: list[int] = []

    def fail() -> None:
        raise KeyError

    def commit() -> None:
        with transaction.atomic(using=database):
            Author.objects.using(database).create(name="Cid")
            transaction.on_commit(fail, using=database)
            transaction.on_commit(lambda: ran.append(1), using=database)

    with pytest.raises(KeyError):
        commit()
    assert connections[database].get_autocommit()
    assert ran == []
    watch.check_rows()


@pytest.fixture
def receiving(database: str) -> Iterator[None]:
    """A receiver writes to another table than that of the commit which it hears of."""

    def write(tables: frozenset[str], **_: Any) -> None:
        if "library_author" in tables:
            Genre.objects.using(database).filter(name="crime").update(name="other")

    invalidated.connect(write)
    yield
    invalidated.disconnect(write)


@concurrent
@pytest.mark.usefixtures("receiving")
def test_a_receiver_that_writes_after_a_raw_commit(database: str, watch: Watch) -> None:
    execute(database, "BEGIN")
    execute(database, "UPDATE library_author SET name = 'Ada' WHERE name = 'Ann'")
    execute(database, "COMMIT")
    assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    watch.check_rows()


@concurrent
@pytest.mark.usefixtures("receiving")
def test_a_receiver_that_writes_between_commits(database: str, watch: Watch) -> None:
    with autocommit_off(database) as connection:
        Author.objects.using(database).filter(name="Ann").update(name="Ada")
        connection.commit()
        connection.commit()
    assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    watch.check_rows()
