"""The columns that a SELECT names, and the rows that it gives.

Only where it is made of tables, their columns, placeholders, comparisons and the functions that are
listed here: whatever else there is may depend on more than the columns that it names. So may an
order that leaves rows in any order, or a limit that takes any of them: which ones the database
gives then is another each time that a row is moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from querycache.rawsql.expressions import AGGREGATES, Odd, Reader
from querycache.rawsql.words import AFTER_TABLE, words
from querycache.sqltokens import (
    NUMBER,
    OPERATOR,
    PARAM,
    QUOTED,
    WORD,
    Tokens,
    countable,
    table_name,
)

_DIRECTIONS = words("asc desc nulls first last")
_JOIN = frozenset(("inner", "left", "outer", "join"))
#: What follows the tables, in this order.
_SECTIONS = ("where", "group", "having", "order", "limit", "offset")


_VENDORS = frozenset(("sqlite", "postgresql", "mysql"))


@dataclass(frozen=True, slots=True)
class Rows:
    """Where a result says which rows of a table it is made of.

    Args:
        table: the one that rows are taken from, before others are joined.
        place: of its primary key in a row.
        columns: of the table that decide which rows these are, and their order.
        most: a result with as many rows need not have all that there are; None: each has them all,
            or those that come first in an order which leaves no choice.
        witness: whether it says only that there is one, which `witnessing` makes tell its key.
    """

    table: str
    place: int
    columns: frozenset[str]
    most: int | None
    witness: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """What a SELECT is made of.

    Args:
        columns: all that it names, by table; a table of which it names none is there as well.
        certain: whether the rows, and the order that is asked for, are the same whoever gives them.
        rows: which rows of a table these are, None where the result does not say.
    """

    columns: Mapping[str, frozenset[str]]
    certain: bool
    rows: Rows | None


def outline(sql: str, vendor: str, keys: Mapping[str, str]) -> Outline | None:
    """Tell what a SELECT is made of.

    Args:
        sql: one statement with placeholders ``%s``.
        vendor: Django's `connection.vendor`.
        keys: the primary keys of tables, as far as they are one column.

    Returns:
        None where the result may depend on more than rows of tables and columns that it names.
    """
    tokens = countable(sql, vendor) if vendor in _VENDORS else None
    return None if tokens is None else _Select(tokens, vendor, keys).read()


class _Select(Reader):
    """One walk over the tokens of a SELECT.

    Args:
        tokens: of the statement.
        vendor: Django's `connection.vendor`.
        keys: the primary keys of tables.
    """

    def __init__(self, tokens: Tokens, vendor: str, keys: Mapping[str, str]) -> None:
        super().__init__(tokens, vendor)
        self._keys = keys
        #: The columns of a row in their order, None for expressions.
        self._items: list[tuple[str, str] | None] = []
        #: Whether each row of the first table comes once at most.
        self._single = True

    def read(self) -> Outline | None:
        """Read all of it; None where there is anything else."""
        try:
            return self._read()
        except Odd:
            return None

    def _read(self) -> Outline:
        if self._word(0) != "select":
            raise Odd
        start = 2 if self._word(1) == "distinct" else 1
        middle = self._find(start, ("from",))
        at = self._from(middle + 1)
        parts = self._sections(at)
        first, behind = parts.get("order", (0, 0))
        if behind == first + 1 and self._word(first) == "null":
            # No order, which keeps MySQL from sorting groups.
            del parts["order"]
        for word, (first, behind) in parts.items():
            if word == "order":
                for term in self._parts(first, behind):
                    self._expression(term[0], self._without_direction(*term))
            else:
                self._expression(first, behind)
            if word in ("limit", "offset") and behind != first + 1:
                raise Odd
        deciding = frozenset(self._named)
        chosen = self._expression(start, middle)
        self._items = self._select(start, middle)
        certain = self._is_certain(parts, chosen)
        columns: dict[str, set[str]] = {table: set() for table in self._tables.values()}
        for alias, column in self._named:
            columns[self._tables[alias]].add(column)
        return Outline(
            {table: frozenset(names) for table, names in columns.items()},
            certain,
            self._rows(parts, deciding, certain=certain),
        )

    def _rows(
        self,
        parts: Mapping[str, tuple[int, int]],
        deciding: frozenset[tuple[str, str]],
        *,
        certain: bool,
    ) -> Rows | None:
        first, table = next(iter(self._tables.items()))
        if "group" in parts or self._aggregates():
            return None
        if list(self._tables.values()).count(table) > 1:
            return None
        if self._asks_for_any(parts):
            return Rows(table, 0, frozenset(), 1, witness=True) if table in self._keys else None
        named = (first, self._keys.get(table, "").casefold())
        if named not in self._items:
            return None
        ordering, is_told = self._order(parts)
        if not is_told:
            return None
        most = None
        if not certain:
            if "order" in parts or "offset" in parts or "limit" not in parts:
                return None
            limit = self._texts[parts["limit"][0]]
            if not limit.isdigit():
                return None
            most = int(limit)
        columns = frozenset(column for alias, column in deciding | ordering if alias == first)
        return Rows(table, self._items.index(named), columns, most)

    def _asks_for_any(self, parts: Mapping[str, tuple[int, int]]) -> bool:
        """Tell whether it asks whether there is a row: ``SELECT %s … LIMIT 1``."""
        if not (self._kinds[1] == PARAM and self._texts[1] == "%s" and len(self._items) == 1):
            return False
        first = parts.get("limit", (0, 0))[0]
        return parts.keys() <= {"where", "limit"} and first > 0 and self._texts[first] == "1"

    def _from(self, i: int) -> int:
        """Read the tables and how they are joined; returns the index behind them."""
        i = self._table(i)[1]
        while self._word(i) in _JOIN:
            while self._word(i) in _JOIN:
                i += 1
            if self._word(i - 1) != "join":
                raise Odd
            alias, i = self._table(i)
            if self._word(i) != "on":
                raise Odd
            end = self._find(i + 1, (*_SECTIONS, *_JOIN))
            self._expression(i + 1, end)
            self._single = self._single and self._is_by_key(i + 1, end, alias)
            i = end
        return i

    def _table(self, i: int) -> tuple[str, int]:
        """Read a table and its alias; returns the alias and the index behind it."""
        if i >= self._end or self._kinds[i] != QUOTED:
            raise Odd
        table = table_name(self._texts[i])
        alias, i = self._texts[i].casefold(), i + 1
        is_word = self._word(i) not in {"", *AFTER_TABLE}
        if is_word or (i < self._end and self._kinds[i] == QUOTED):
            alias, i = self._texts[i].casefold(), i + 1
        if alias in self._tables:
            raise Odd
        self._tables[alias] = table
        return alias, i

    def _is_by_key(self, start: int, end: int, alias: str) -> bool:
        """Tell whether a joined table has one row at most for each: ``(a.x = alias.key)``."""
        key = self._keys.get(self._tables[alias])
        if key is None or end - start != 9:
            return False
        kinds = [WORD if kind == QUOTED else kind for kind in self._kinds[start:end]]
        name = [WORD, OPERATOR, WORD]
        if kinds != [OPERATOR, *name, OPERATOR, *name, OPERATOR] or not self._is(start + 4, "="):
            return False
        sides = [self._texts[at : at + 3] for at in (start + 1, start + 5)]
        return any(
            side[0].casefold() == alias and side[2].casefold() == key.casefold() for side in sides
        ) and not all(side[0].casefold() == alias for side in sides)

    def _sections(self, i: int) -> dict[str, tuple[int, int]]:
        """Return where each section behind the tables begins and ends."""
        found: dict[str, tuple[int, int]] = {}
        left = list(_SECTIONS)
        while i < self._end:
            word = self._word(i)
            if word not in left:
                raise Odd
            left = left[left.index(word) + 1 :]
            first = i + 1
            if word in ("group", "order"):
                if self._word(first) != "by":
                    raise Odd
                first += 1
            i = self._find(first, _SECTIONS)
            found[word] = first, i
        return found

    def _is_certain(
        self, parts: Mapping[str, tuple[int, int]], named: list[tuple[str, str]]
    ) -> bool:
        """Tell whether the rows, and the order that is asked for, are the same whoever gives them.

        Args:
            parts: the sections.
            named: columns of the rows.
        """
        cut = "limit" in parts or "offset" in parts
        if not cut and "order" not in parts:
            return True
        if not named and "group" not in parts:
            # All rows are alike, as those of `exists()`.
            return True
        if "order" not in parts or "group" in parts or not self._single:
            return False
        first = next(iter(self._tables))
        key = self._keys.get(self._tables[first])
        return key is not None and (first, key.casefold()) in self._order(parts)[0]

    def _order(self, parts: Mapping[str, tuple[int, int]]) -> tuple[set[tuple[str, str]], bool]:
        """Return the columns by which rows are ordered, and whether each place in a row is one."""
        found = set()
        is_told = True
        for first, behind in self._parts(*parts.get("order", (0, 0))):
            last = self._without_direction(first, behind)
            column = self._column(first, last)
            if last == first + 1 and self._kinds[first] == NUMBER:
                place = int(self._texts[first]) if self._texts[first].isdigit() else 0
                column = self._items[place - 1] if 0 < place <= len(self._items) else None
                is_told = is_told and column is not None
            if column is not None:
                found.add(column)
        return found, is_told

    def _without_direction(self, start: int, end: int) -> int:
        while end > start and self._word(end - 1) in _DIRECTIONS:
            end -= 1
        return end

    def _aggregates(self) -> bool:
        return any(self._word(i) in AGGREGATES for i in range(self._end) if self._is(i + 1, "("))

    def _select(self, start: int, end: int) -> list[tuple[str, str] | None]:
        """Return the columns of a row in their order, None for expressions."""
        found = []
        for first, behind in self._parts(start, end):
            named = self._word(behind - 2) == "as" and behind - first > 2
            found.append(self._column(first, behind - 2 if named else behind))
        return found
