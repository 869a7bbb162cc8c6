"""How often tables are written, as the store's stamps show it, and what to do about that.

Whoever has access to the store sees the writes of all processes in its stamps: one that has another
settled value than a moment ago was written in between. So a command finds out while the site works,
and no process has to count anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from time import monotonic, sleep
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import router

from querycache import stamps
from querycache.changes import ALL, NEW
from querycache.rawsql import table_name
from querycache.selection import Selection

if TYPE_CHECKING:
    from querycache.dependencies import Database
    from querycache.stores.base import Store, StoreInfo

#: Seconds between two looks.
PAUSE = 0.02

#: Writes in a second from which on a table is written often, and how many must have been seen.
OFTEN = 1.0
_LEAST = 3

#: The share of the looks from which on a table is being written all the time.
_BUSY = 0.2

#: The share of its room from which on a store is full. LMDB's leaves some of its file free.
_FULL = 0.75

_DAY = 24 * 3600

#: Seconds without a write after which a table that is left out could be cached.
_QUIET = 2 * _DAY


@dataclass(slots=True)
class Written:
    """How a table was written while it was watched.

    Args:
        database: alias of its database.
        table: its name.
        model: the label of its model.
        cached: whether results that depend on it may be cached, see `EXCLUDE` and `ONLY`.
        writes: looks that found it written since the one before.
        whole: those of them in which any row may have changed.
        busy: looks that found it being written.
        lost: looks that found its stamp gone which had been there.
        wall: when it was last written, in ms since 1970 by the store's clock; 0 while that is not
            known.
    """

    database: str
    table: str
    model: str
    cached: bool
    writes: int = 0
    whole: int = 0
    busy: int = 0
    lost: int = 0
    wall: int = 0


class Observed:
    """A table whose stamps are looked at again and again.

    Args:
        written: takes what is seen.
        database: has the stamps' keys.
    """

    __slots__ = ("_known", "keys", "written")

    def __init__(self, written: Written, database: Database) -> None:
        self.written = written
        table = written.table
        # Between them they change with every write, and the last with those that name no rows.
        self.keys = tuple(map(database.stamp_key, (table, f"{table}{NEW}", f"{table}{ALL}")))
        # The settled stamps that were seen last.
        self._known: list[bytes | None] = [None] * len(self.keys)

    def see(self, found: Sequence[bytes | None]) -> None:
        """Compare stamps with those of the look before.

        Args:
            found: the stamps of `keys` as they are now.
        """
        written = self.written
        table, new, whole = map(self._changed, range(len(found)), found)
        written.writes += table or new
        written.whole += whole
        written.busy += any(map(_is_held, found))
        written.lost += any(
            now is None and before is not None
            for now, before in zip(found, self._known, strict=True)
        )
        for place, stamp in enumerate(found):
            if stamp is None or stamps.is_settled(stamp):
                # One that is made anew after it was lost tells of no write.
                self._known[place] = stamp
        times = [settled.wall for settled in map(stamps.parse_settled, found[:2]) if settled]
        written.wall = max(times, default=written.wall)

    def _changed(self, place: int, stamp: bytes | None) -> bool:
        known = self._known[place]
        return known is not None and stamps.is_settled(stamp) and stamp != known


def tables_of(alias: str, database: Database, selection: Selection) -> Iterator[Observed]:
    """Return the tables of the models of a database.

    Args:
        alias: of the database.
        database: has the stamps' keys.
        selection: what is cached at all.
    """
    names = set()
    for model in apps.get_models(include_auto_created=True):
        name = table_name(model._meta.db_table)
        if name not in names and router.allow_migrate_model(alias, model):
            names.add(name)
            written = Written(alias, name, model._meta.label, selection.covers(name))
            yield Observed(written, database)


def observe(store: Store, tables: Sequence[Observed], seconds: float) -> int:
    """Look at the stamps of tables for some time, and return how many looks that were.

    Args:
        store: has the stamps.
        tables: take what is seen.
        seconds: for how long.

    Raises:
        StoreError: the store did not answer.
        StoreUnusable: the store can never answer.
    """
    keys = [*chain.from_iterable(table.keys for table in tables)]
    looks, over = 0, monotonic() + seconds
    while True:
        found = iter(store.stamps(keys))
        for table in tables:
            table.see([*islice(found, len(table.keys))])
        looks += 1
        if monotonic() >= over:
            return looks
        sleep(PAUSE)


def _is_held(stamp: bytes | None) -> bool:
    return stamps.is_writing(stamp) and not stamps.in_quarantine(stamp)


def of_tables(written: Iterable[Written], seconds: float, looks: int, now: int) -> list[str]:
    """Say what to change about tables, as far as what was seen of them tells.

    Args:
        written: what was seen.
        seconds: for how long.
        looks: in how many looks.
        now: the time by the store's clock, in ms since 1970.
    """
    found = []
    for one in written:
        if one.cached:
            found += _of_cached(one, seconds, looks)
        elif one.wall and (quiet := (now - one.wall) / 1000) > _QUIET:
            found.append(
                f"{one.table} is left out, and was last written {quiet / _DAY:.0f} days ago: it"
                " could be cached"
            )
        if one.lost:
            found.append(
                f"the store has lost stamps of {one.table}, which costs misses: it needs more"
                " memory, or a policy that keeps keys without a TTL"
            )
    return found


def of_store(info: StoreInfo) -> list[str]:
    """Say what to change about a store that has little room left.

    Args:
        info: what the store tells of itself.
    """
    if not info.used or not info.limit or info.used < info.limit * _FULL:
        return []
    full = f"the store is {info.used / info.limit:.0%} full, so old results make room for new ones"
    return [f"{full}: with more memory (LMDB: `size`; a server: its own setting) they would stay"]


def _of_cached(one: Written, seconds: float, looks: int) -> list[str]:
    found = []
    leave = f'leave it out (EXCLUDE: ["{one.model}"])'
    if _is_often(one.whole, seconds):
        found.append(
            f"{one.table} is written {_rate(one.whole, seconds)} by statements that name no rows,"
            f" so no result of it lives longer: {leave}, or name rows by their primary key"
        )
    elif _is_often(one.writes, seconds):
        found.append(
            f"certain rows of {one.table} are written {_rate(one.writes, seconds)}, so results that"
            f" depend on all of it live no longer: if most do, {leave}"
        )
    if one.busy >= max(_LEAST, looks * _BUSY):
        found.append(
            f"{one.table} is being written {one.busy / looks:.0%} of the time, and is read from the"
            f" database meanwhile: make transactions that write it shorter, or {leave}"
        )
    return found


def _is_often(times: int, seconds: float) -> bool:
    return times >= max(_LEAST, seconds * OFTEN)


def _rate(times: int, seconds: float) -> str:
    # Of several writes between two looks one is seen.
    return f"at least every {seconds / times:.2g} s"
