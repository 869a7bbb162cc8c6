"""What was found and declared is shown by the command, and checked where a database is named."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command

from querycache.cache import QueryCache
from tests.catalogue.helpers import every, made, on_postgresql
from tests.environment import configure

VIEW = "CREATE VIEW qc_view AS SELECT id, name FROM library_genre"
DROP = "DROP VIEW IF EXISTS qc_view"


def status(alias: str, action: str = "status") -> list[str]:
    out = io.StringIO()
    call_command("querycache", action, json=True, stdout=out)
    found: list[str] = json.loads(out.getvalue())[f"catalogue {alias}"]
    return found


def messages(alias: str, number: str) -> list[str]:
    """Run the checks as `check --database` does, and return those with this id."""
    return [
        f"{message.msg} {message.hint}"
        for message in checks.run_checks(databases=[alias])
        if message.id == f"querycache.{number}"
    ]


@every
def test_a_view_is_shown(database: str, cache: QueryCache) -> None:
    with made(database, VIEW, DROP):
        line = "view qc_view depends on library_genre"
        assert line in status(database)
        assert line in status(database, "refresh")
        out = io.StringIO()
        call_command("querycache", "status", stdout=out)
        assert line in out.getvalue()
    assert not any("qc_view" in line for line in status(database))


@every
def test_a_declaration_is_shown(database: str, store_url: str) -> None:
    configure(STORE=store_url, DEPENDS={"qc_view": ["library_author"]})
    with made(database, VIEW, DROP):
        assert "view qc_view depends on library_author, as declared" in status(database)
        (message,) = messages(database, "W031")
        assert "DEPENDS leaves out library_genre" in message


@every
def test_a_database_with_nothing_to_tell(database: str, cache: QueryCache) -> None:
    numbers = ("W030", "W031", "W032", "I033")
    assert [messages(database, number) for number in numbers] == [[]] * 4
    # None asks a database unless it is named.
    assert not [m for m in checks.run_checks() if m.id in {f"querycache.{n}" for n in numbers}]


@pytest.fixture
def composing(database: str) -> Iterator[None]:
    """A trigger that cannot be read."""
    make = [
        (
            "CREATE FUNCTION qc_composes() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN EXECUTE 'SELECT 1'; RETURN NULL; END $$"
        ),
        (
            "CREATE TRIGGER qc_t AFTER INSERT ON library_review"
            " FOR EACH ROW EXECUTE FUNCTION qc_composes()"
        ),
    ]
    with made(database, make, "DROP FUNCTION qc_composes() CASCADE"):
        yield


@on_postgresql
def test_what_cannot_be_told(database: str, cache: QueryCache, composing: None) -> None:
    (line,) = [line for line in status(database) if "qc_t" in line]
    assert line.startswith("trigger qc_t on library_review counts as a write to every table")
    (message,) = messages(database, "W030")
    assert "every write to library_review counts for every table" in message
    assert 'TRIGGERS = {"library_review": ["…"]}' in message


@on_postgresql
def test_what_is_declared_is_no_trouble(database: str, store_url: str, composing: None) -> None:
    configure(STORE=store_url, TRIGGERS={"library_review": []})
    assert messages(database, "W030") == []
    line = "trigger qc_t on library_review writes no other table, as declared"
    assert line in status(database)


@on_postgresql
def test_a_declaration_that_leaves_out_a_table(database: str, store_url: str) -> None:
    configure(STORE=store_url, TRIGGERS={"library_review": ["library_genre"]})
    make = [
        (
            "CREATE FUNCTION qc_writes() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN UPDATE library_author SET name = 'x'; RETURN NULL; END $$"
        ),
        (
            "CREATE TRIGGER qc_t AFTER INSERT ON library_review"
            " FOR EACH ROW EXECUTE FUNCTION qc_writes()"
        ),
    ]
    with made(database, make, "DROP FUNCTION qc_writes() CASCADE"):
        (message,) = messages(database, "W031")
        assert "TRIGGERS leaves out library_author" in message


@on_postgresql
def test_a_view_that_is_not_cached(database: str, cache: QueryCache) -> None:
    make = ["CREATE EXTENSION file_fdw", "CREATE SERVER qc_files FOREIGN DATA WRAPPER file_fdw"]
    make.append(
        "CREATE FOREIGN TABLE qc_file (id int) SERVER qc_files OPTIONS (filename '/dev/null')"
    )
    with made(database, make, "DROP EXTENSION file_fdw CASCADE"):
        (message,) = messages(database, "I033")
        assert "foreign table qc_file is not cached" in message


def test_off(database: str) -> None:
    found: Any = checks.run_checks(databases=[database])
    assert not [message for message in found if (message.id or "").startswith("querycache.W03")]
