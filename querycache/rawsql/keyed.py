"""Statements that are about no rows of their one table but those that one column names.

That is the primary key, or a column with a foreign key. Only the plainest shapes, which are the
ORM's: a SELECT, UPDATE or DELETE on one table without calls, subqueries or joins, whose WHERE is,
or begins or goes on with AND, an equality or a short list of the column and placeholders. All words
and operators that it may have are listed here: whatever else there is may mean that other rows
matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from querycache.rawsql.words import words
from querycache.sqltokens import (
    NUMBER,
    OPERATOR,
    PARAM,
    QUOTED,
    STRING,
    WORD,
    Tokens,
    countable,
    table_name,
)

_VALUES = words(
    "null true false and or not in is case when then else end as default _binary cast numeric"
)
_CONDITION = words("null true false and or not in is like escape")
_BEHIND = words("order by asc desc nulls first last limit offset returning")
#: SQLite's other names of a primary key that is an integer.
_ROWID = words("rowid oid _rowid_")
_ENDS = frozenset(("order", "limit", "returning"))

#: Without ``|`` and ``&``, which MySQL takes for OR and AND.
_OPERATORS = frozenset("=<>!.,()+-*/")
_LITERALS = frozenset((QUOTED, STRING, NUMBER, PARAM))

#: Parentheses around a condition, one within the other.
_DEEPEST = 20


class Values(NamedTuple):
    """Where the values of the column stand among the parameters.

    Args:
        first: the place of the first.
        number: how many there are.
        total: how many parameters the statement has.
    """

    first: int
    number: int
    total: int


def keyed_by(sql: str, vendor: str, table: str, column: str, most: int) -> Values | None:
    """Tell which parameters name the only rows that a statement reads or changes.

    Args:
        sql: one statement with placeholders ``%s``.
        vendor: Django's `connection.vendor`.
        table: that it is about, as `table_name` gives it.
        column: of the table, as the database's catalogue spells it.
        most: values at most.

    Returns:
        None where it may be about other rows, or changes the column.
    """
    tokens = countable(sql, vendor)
    if tokens is None:
        return None
    found = _Shape(tokens, table, column, exact=vendor == "postgresql").read()
    if found is None or found.number > most or found.total != sql.count("%s"):
        return None
    return found


class _Shape:
    """One walk over the tokens of a statement.

    Args:
        tokens: of the statement.
        table: that it is about.
        column: that names the rows.
        exact: whether the case of a column's name matters.
    """

    def __init__(self, tokens: Tokens, table: str, column: str, *, exact: bool) -> None:
        self._kinds, self._texts = tokens.kinds, tokens.texts
        self._end = len(tokens.kinds)
        self._table = table
        self._column = column
        self._exact = exact
        self._before: list[int] = []
        self._count()

    def _count(self) -> None:
        seen = 0
        for kind, text in zip(self._kinds, self._texts, strict=True):
            self._before.append(seen)
            if kind == PARAM:
                seen += text.count("%s")
        self._total = seen

    def read(self) -> Values | None:
        """Read all of it."""
        verb = self._word(0)
        if verb == "select":
            at = self._section(1, _VALUES, frozenset(("from",)))
            at = self._target(at + 1) if self._word(at) == "from" else self._end
        elif verb == "update":
            at = self._target(1)
            if self._word(at) != "set":
                return None
            start = at + 1
            at = self._section(start, _VALUES, frozenset(("where",)))
            if not self._leaves_the_key(start, at):
                return None
        elif verb == "delete" and self._word(1) == "from":
            at = self._target(2)
        else:
            return None
        if self._word(at) != "where":
            return None
        start = at + 1
        end = self._section(start, _CONDITION, _ENDS)
        if end < start or (end < self._end and self._word(end) not in _ENDS):
            return None
        if self._section(end, _BEHIND, frozenset()) != self._end:
            return None
        return self._condition(start, end, 0)

    def _word(self, i: int) -> str:
        return self._texts[i] if 0 <= i < self._end and self._kinds[i] == WORD else ""

    def _is(self, i: int, operator: str) -> bool:
        return i < self._end and self._kinds[i] == OPERATOR and self._texts[i] == operator

    def _target(self, i: int) -> int:
        """Return the index behind the table's bare name at `i`, the end where it is another."""
        if (
            i < self._end
            and self._kinds[i] in (WORD, QUOTED)
            and table_name(self._texts[i]) == self._table
        ):
            return i + 1
        return self._end

    def _section(self, i: int, allowed: frozenset[str], ends: frozenset[str]) -> int:
        """Return the index of the word that ends a section, or of what must not be in it."""
        depth = 0
        while i < self._end:
            kind, text = self._kinds[i], self._texts[i]
            if kind == WORD:
                if depth == 0 and text in ends:
                    return i
                if text not in allowed:
                    return i
            elif kind == OPERATOR:
                if text not in _OPERATORS:
                    return i
                depth += (text == "(") - (text == ")")
                if depth < 0:
                    return i
            elif kind not in _LITERALS or (kind == PARAM and not text.startswith("%s")):
                return i
            i += 1
        return i if depth == 0 else -1

    def _leaves_the_key(self, start: int, end: int) -> bool:
        """Tell whether every part of SET is ``column = …``, and none of the key's column."""
        for first, _ in self._parts(start, end, ","):
            if first >= end or self._kinds[first] not in (WORD, QUOTED):
                return False
            if not self._is(first + 1, "="):
                return False
            name = self._texts[first].casefold()
            if name == self._column.casefold() or name in _ROWID:
                return False
        return True

    def _parts(self, start: int, end: int, separator: str) -> Iterator[tuple[int, int]]:
        """Yield what stands between separators that are in no parenthesis."""
        depth = 0
        first = start
        for i in range(start, end):
            kind, text = self._kinds[i], self._texts[i]
            if kind == OPERATOR:
                depth += (text == "(") - (text == ")")
            if depth == 0 and text == separator and kind in (WORD, OPERATOR):
                yield first, i
                first = i + 1
        yield first, end

    def _condition(self, start: int, end: int, depth: int) -> Values | None:
        """Find the key among conditions of which each must hold."""
        if depth > _DEEPEST:
            return None
        if sum(1 for _ in self._parts(start, end, "or")) > 1:
            return None
        parts = list(self._parts(start, end, "and"))
        if len(parts) == 1 and not self._is_enclosed(start, end):
            return self._values(start, end)
        for first, behind in parts:
            found = self._values(first, behind)
            if found is None and self._is_enclosed(first, behind):
                found = self._condition(first + 1, behind - 1, depth + 1)
            if found is not None:
                return found
        return None

    def _is_enclosed(self, start: int, end: int) -> bool:
        depth = 0
        for i in range(start, end):
            depth += self._is(i, "(") - self._is(i, ")")
            if depth == 0:
                return i == end - 1 and i > start
        return False

    def _values(self, start: int, end: int) -> Values | None:
        """Read ``[table.]column = %s`` or ``[table.]column IN (%s, …)``, and nothing else."""
        i = start
        if self._is(i + 1, ".") and table_name(self._texts[i]) == self._table:
            if self._kinds[i] not in (WORD, QUOTED):
                return None
            i += 2
        if i >= end or not self._is_column(i):
            return None
        if self._is(i + 1, "="):
            at, behind, one = i + 2, i + 3, True
        elif self._word(i + 1) == "in" and self._is(i + 2, "(") and self._is(i + 4, ")"):
            at, behind, one = i + 3, i + 5, False
        else:
            return None
        if behind != end or self._kinds[at] != PARAM or ")" in self._texts[at]:
            return None
        count = self._texts[at].count("%s")
        if one and count != 1:
            return None
        return Values(self._before[at], count, self._total)

    def _is_column(self, i: int) -> bool:
        if self._kinds[i] not in (WORD, QUOTED):
            return False
        text = self._texts[i]
        if self._exact:
            return text == self._column
        return text.casefold() == self._column.casefold()
