"""What tables and plots call what was measured, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

DATABASES = {"sqlite": "SQLite (a file, WAL)", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}

SHAPES = {
    "get": "`get(pk)`",
    "first": "`first()` of an order",
    "exists": "`exists()`",
    "count": "`count()` over a join",
    "aggregate": "`aggregate()` over a join",
    "groups": "groups with aggregates",
    "search": "search with `OR`",
    "subquery": "`Exists()` subquery",
    "in": "20 rows by key",
    "page": "50 rows, `select_related`",
    "prefetch": "20 rows, `prefetch_related`",
    "tuples": "200 tuples, `values_list`",
    "atomic": "5 queries in `atomic()`",
    "thousand": "1000 rows",
}
ROWS = {
    "rows1": "1 row",
    "rows10": "10 rows",
    "rows100": "100 rows",
    "rows1000": "1000 rows",
    "rows10000": "10,000 rows",
    "rich": "100 rich rows",
    "wide": "100 wide rows",
}
WRITES = {
    "save": "`save()`",
    "update": "`update()`",
    "create": "`create()`",
    "atomic": "`atomic()`, 3 `save()`",
    "bulk": "`bulk_create()` of 100",
}
OFF = {
    "excluded": "`get(pk)` of an excluded model",
    "disabled": "`get(pk)` within `disabled()`",
}
PAGES = {
    "changelist": "admin change list, 100 rows",
    "catalogue": "catalogue, 30 queries",
}


class Group(NamedTuple):
    """Cases that a report shows together.

    Args:
        title: of all.
        kind: what the names of cases begin with.
        titles: the other part of their names → what each is called.
        base: the ratio that is shown.
    """

    title: str
    kind: str
    titles: Mapping[str, str]
    base: str

    @property
    def base_label(self) -> str:
        """What the ratio is taken to."""
        return BASES[self.base]

    @property
    def slug(self) -> str:
        """The title as a part of names of files."""
        return self.title.lower().replace(" ", "-")


BASES = {"over_floor": "the ORM floor", "over_none": "no cache"}

GROUPS = (
    Group("Hits", "hit", SHAPES, "over_floor"),
    Group("Hits by rows", "hit", ROWS, "over_floor"),
    Group("Misses", "miss", SHAPES, "over_none"),
    Group("Misses by rows", "miss", ROWS, "over_none"),
    Group("Writes", "write", WRITES, "over_none"),
    Group("With the cache out of the way", "off", OFF, "over_none"),
)
