"""Triggers in the words of every database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections

from tests.catalogue.helpers import made
from tests.library.models import Book, Review


@dataclass(frozen=True)
class Trigger:
    """A trigger in the words of every database.

    Args:
        table: that it is on.
        event: ``"INSERT"``, ``"UPDATE"`` or ``"DELETE"``.
        body: its statements.
        name: of the trigger.
    """

    table: str
    event: str
    body: str
    name: str = "qc_trigger"

    @contextmanager
    def on(self, using: str) -> Iterator[None]:
        """Have it in a database."""
        row = "NEW" if self.event != "DELETE" else "OLD"
        body = self.body.replace("{row}", row)
        if connections[using].vendor == "postgresql":
            make = [
                (
                    f"CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS"
                    f" $$ BEGIN {body} RETURN NULL; END $$"
                ),
                (
                    f"CREATE TRIGGER {self.name} AFTER {self.event} ON {self.table}"
                    f" FOR EACH ROW EXECUTE FUNCTION {self.name}()"
                ),
            ]
            drop = [f"DROP FUNCTION {self.name}() CASCADE"]
        else:
            make = [
                (
                    f"CREATE TRIGGER {self.name} AFTER {self.event} ON {self.table} FOR EACH ROW"
                    f" BEGIN {body} END"
                )
            ]
            drop = [f"DROP TRIGGER {self.name}"]
        with made(using, make, drop):
            yield


@contextmanager
def rewriting(using: str, table: str, event: str, column: str, value: int) -> Iterator[None]:
    """Have a trigger on a server that puts a value into a column of every row before an event."""
    when = f"CREATE TRIGGER qc_rewriting BEFORE {event} ON {table} FOR EACH ROW"
    if connections[using].vendor == "postgresql":
        make = [
            (
                "CREATE FUNCTION qc_rewriting() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN NEW.{column} := {value}; RETURN NEW; END $$"
            ),
            f"{when} EXECUTE FUNCTION qc_rewriting()",
        ]
        drop = "DROP FUNCTION qc_rewriting() CASCADE"
    else:
        make = [f"{when} SET NEW.{column} = {value}"]
        drop = "DROP TRIGGER qc_rewriting"
    with made(using, make, drop):
        yield


RENAME = "UPDATE library_author SET name = 'by a trigger' WHERE id > 0;"


def review(using: str) -> Any:
    book = Book.objects.using(using).get(title="Book 1")
    return Review.objects.using(using).create(book=book, stars=5)
