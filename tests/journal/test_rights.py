"""A look at the journal breaks nothing of those who may not see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, connections, transaction

from querycache.state import transaction_of
from tests.environment import elsewhere
from tests.kinds import postgresql, servers
from tests.snapshots.helpers import level_of
from tests.watching import RENAME, Watch, alias_of, execute, genres


@pytest.fixture
def weak(database: str) -> Iterator[str]:
    """A role or user who may read and change one table, and none of querycache's."""
    if connections[database].vendor == "postgresql":
        execute(database, "CREATE ROLE weak LOGIN")
        execute(database, "GRANT SELECT, UPDATE ON library_genre TO weak")
        yield "weak"
        execute(database, "DROP OWNED BY weak; DROP ROLE weak")
    else:
        execute(database, "CREATE USER weak")
        execute(database, "GRANT SELECT, UPDATE ON library_genre TO weak")
        yield "weak"
        execute(database, "DROP USER weak")


@contextmanager
def unseen(database: str, alias: str) -> Iterator[None]:
    """A transaction in which a look at the journal is due, which others have seen."""
    watch = transaction_of(connections[database]).database.watch
    assert watch.clear(transaction_of(connections[database]))
    with transaction.atomic(using=alias):
        watch.expire()
        yield


@postgresql
@pytest.mark.parametrize("level", ["read committed", "repeatable read"])
@pytest.mark.parametrize("seen", ["role", "search_path"])
def test_who_may_not_see_the_journal_loses_no_transaction(
    database: str, watch: Watch, weak: str, level: str, seen: str
) -> None:
    with alias_of(database, OPTIONS={"isolation_level": level_of(database, level)}) as alias:
        genres(alias)
        with unseen(database, alias):
            if seen == "role":
                execute(alias, f"SET LOCAL ROLE {weak}")
            else:
                execute(alias, "SET LOCAL search_path = pg_catalog")
            if seen == "role":
                assert genres(alias) == ["crime", "poetry"]
            else:
                with pytest.raises(DatabaseError, match="library_genre"), transaction.atomic(alias):
                    genres(alias)
            execute(alias, "SELECT 1")
            execute(alias, "RESET ROLE; RESET search_path")
            execute(alias, RENAME)
        assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    watch.check_rows()


@servers
@pytest.mark.parametrize("level", ["read committed", "repeatable read"])
def test_a_user_who_may_not_see_the_journal(
    database: str, watch: Watch, weak: str, level: str
) -> None:
    options = {"isolation_level": level_of(database, level)}
    with (
        alias_of(database, USER=weak, PASSWORD="", OPTIONS=options) as alias,
        unseen(database, alias),
    ):
        assert genres(alias) == ["crime", "poetry"]
        execute(alias, RENAME)
        assert genres(alias) == ["other", "poetry"]
    assert elsewhere(lambda: genres(database)) == ["other", "poetry"]
    watch.check_rows()
