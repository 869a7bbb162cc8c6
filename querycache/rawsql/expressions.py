"""Expressions in the texts of queries, as far as they are made of columns that are named."""

from __future__ import annotations

from collections.abc import Iterator

from querycache.rawsql.words import words
from querycache.sqltokens import NUMBER, OPERATOR, PARAM, QUOTED, STRING, WORD, Tokens

AGGREGATES = words("count sum min max avg")
_FUNCTIONS = AGGREGATES | words("upper lower coalesce length char_length abs")
#: What stands behind an operand, and before another.
_BETWEEN = words("and or is in like between escape then else")
_NEGATED = words("in like between")
#: What Django casts to, to compare texts (PostgreSQL).
_TYPES = words("text varchar integer bigint smallint numeric boolean date uuid")
_OPERATORS = frozenset("=<>!,+-/")
_LITERALS = frozenset((STRING, NUMBER))


class Odd(Exception):
    """Something is there that is not listed."""


class Reader:
    """Reads parts of a SELECT, token by token.

    Args:
        tokens: of the statement.
        vendor: Django's `connection.vendor`.
    """

    def __init__(self, tokens: Tokens, vendor: str) -> None:
        self._kinds, self._texts = tokens.kinds, tokens.texts
        self._end = len(tokens.kinds)
        # To SQLite, true is a column where a table has one of that name.
        self._values = words("null" if vendor == "sqlite" else "null true false")
        #: What stands before an operand.
        self._in_front = words("distinct binary" if vendor == "mysql" else "distinct")
        #: Alias → table; the first is the one that rows are taken from.
        self._tables: dict[str, str] = {}
        #: Columns that have been read, each with the alias of its table.
        self._named: set[tuple[str, str]] = set()

    def _word(self, i: int) -> str:
        return self._texts[i] if 0 <= i < self._end and self._kinds[i] == WORD else ""

    def _is(self, i: int, operator: str) -> bool:
        return 0 <= i < self._end and self._kinds[i] == OPERATOR and self._texts[i] == operator

    def _find(self, i: int, ends: tuple[str, ...]) -> int:
        """Return the index of the next of these words that is in no parenthesis, else the end."""
        depth = 0
        while i < self._end:
            depth += self._is(i, "(") - self._is(i, ")")
            if depth < 0:
                raise Odd
            if depth == 0 and self._word(i) in ends:
                return i
            i += 1
        if depth:
            raise Odd
        return self._end

    def _expression(self, start: int, end: int) -> list[tuple[str, str]]:
        """Read what may stand between two indexes; returns the columns that it names.

        Databases take many of these words for the name of a column where no such word is expected,
        so each must stand where it means what it says: behind an operand, or in its place.
        """
        found: list[tuple[str, str]] = []
        behind = False
        cases = 0
        i = start
        while i < end:
            kind, text = self._kinds[i], self._texts[i]
            width = 1
            if kind in (WORD, QUOTED) and self._is(i + 1, "."):
                found.append(self._name(i))
                expected, behind, width = not behind, True, 3
            elif kind == OPERATOR:
                expected, behind, width = self._operator(i, behind=behind)
            elif kind != WORD:
                is_value = kind in _LITERALS or (kind == PARAM and text.startswith("%s"))
                expected, behind = is_value and not behind, True
            elif text == "as":
                expected, width = behind and i + 1 < end, 2
                expected = expected and self._kinds[i + 1] in (WORD, QUOTED)
            elif text in ("case", "end"):
                cases += 1 if text == "case" else -1
                expected, behind = behind == (text == "end") and cases >= 0, text == "end"
            elif text == "not":
                expected = not behind or self._word(i + 1) in _NEGATED
            elif text == "when":
                expected, behind = cases > 0, False
            elif text in _BETWEEN:
                expected, behind = behind, False
            elif text in self._values:
                expected, behind = not behind, True
            else:
                called = text in _FUNCTIONS and self._is(i + 1, "(")
                expected = not behind and (called or text in self._in_front)
            if not expected:
                raise Odd
            i += width
        if not behind or cases:
            raise Odd
        self._named.update(found)
        return found

    def _name(self, i: int) -> tuple[str, str]:
        """Read the name of a column with its table's."""
        alias = self._texts[i].casefold()
        is_name = i + 2 < self._end and self._kinds[i + 2] == QUOTED
        if alias not in self._tables or not is_name or self._is(i + 3, "."):
            raise Odd
        return alias, self._texts[i + 2].casefold()

    def _operator(self, i: int, *, behind: bool) -> tuple[bool, bool, int]:
        """Tell whether an operator may stand here, whether an operand ends with it, its width."""
        text = self._texts[i]
        if text == "(":
            return not behind, False, 1
        if text == ")":
            return behind, True, 1
        if text == "*":
            # All rows are counted, not a product.
            return self._is(i - 1, "(") and self._word(i - 2) == "count", True, 1
        if text == "::":
            return behind and self._word(i + 1) in _TYPES, True, 2
        return text in _OPERATORS and (behind or text not in ",/"), False, 1

    def _column(self, start: int, end: int) -> tuple[str, str] | None:
        """Return the column that is all there is between two indexes."""
        if end != start + 3 or not self._is(start + 1, ".") or self._kinds[start + 2] != QUOTED:
            return None
        return self._texts[start].casefold(), self._texts[start + 2].casefold()

    def _parts(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield what stands between commas that are in no parenthesis."""
        depth = 0
        first = start
        for i in range(start, end):
            depth += self._is(i, "(") - self._is(i, ")")
            if depth == 0 and self._is(i, ","):
                yield first, i
                first = i + 1
            elif depth == 0 and self._kinds[i] == PARAM and "," in self._texts[i]:
                # A run of placeholders, each of which is a part.
                raise Odd
        yield first, end
