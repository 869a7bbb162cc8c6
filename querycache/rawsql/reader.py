"""A walk over the tokens of one statement, and the frames that it passes."""

from __future__ import annotations

from querycache.rawsql.words import Dialect
from querycache.sqltokens import NUMBER, OPERATOR, QUOTED, STRING, WORD, Tokens, table_name

# What a frame waits for.
NOTHING, TABLE, ALIAS = 0, 1, 2

# What the closing of a frame means to the frame around it.
EXPRESSION, TABLE_POSITION, CTE = 0, 1, 2


class Frame:
    """A statement or a parenthesis that is being read."""

    __slots__ = (
        "cast", "collect", "cte", "ctes", "expect", "fresh", "in_from", "join_open", "multiple",
        "recursive", "role", "target", "verb",
    )  # fmt: skip

    def __init__(self, role: int) -> None:
        self.role = role
        self.verb = ""  # not a statement
        self.fresh = True
        self.expect = NOTHING
        self.in_from = False
        self.join_open = False  # a JOIN whose ON or USING has not come yet
        self.cast = False
        self.cte = ""  # the name of the CTE that this frame is
        self.ctes: list[str] | None = None  # the names that are known in this frame
        self.recursive = False
        self.target = ""
        self.multiple = False  # the tables of FROM are targets too
        self.collect: list[str] | None = None  # tables that are targets


class Reader:
    """Tells what stands where among the tokens of one statement.

    Args:
        tokens: of the whole script.
        start: index of the first token.
        end: index behind the last one.
        dialect: of the database.
    """

    def __init__(self, tokens: Tokens, start: int, end: int, dialect: Dialect) -> None:
        self.tokens = tokens
        self.kinds, self.texts = tokens.kinds, tokens.texts
        self.start, self.end = start, end
        self.dialect, self.family = dialect, dialect.family
        self.odd = False

    def is_op(self, i: int, text: str) -> bool:
        """Tell whether this operator stands at `i`."""
        return i < self.end and self.kinds[i] == OPERATOR and self.texts[i] == text

    def word(self, i: int) -> str:
        """Return the word at `i`, empty for anything else."""
        return self.texts[i] if self.start <= i < self.end and self.kinds[i] == WORD else ""

    def is_name(self, i: int) -> bool:
        """Tell whether a name can begin at `i`."""
        return i < self.end and self.kinds[i] in (WORD, QUOTED)

    def path(self, i: int) -> tuple[str, list[str], int]:
        """Read a table's dotted name at `i`: its last component, the others, the index behind."""
        if i >= self.end or not self._is_identifier(i):
            self.odd = True
            return "", [], i + 1
        parts = [self._identifier(i)]
        i += 1
        while self.is_op(i, "."):
            if self.is_op(i + 1, "."):  # database..table
                i += 1
            if i + 1 >= self.end or not self._is_identifier(i + 1):
                break
            parts.append(self._identifier(i + 1))
            i += 2
        if i < self.end and self.kinds[i] == NUMBER:  # the dot of MySQL's `db.1e5` went with it
            self.odd = True
        return table_name(parts[-1]), [table_name(part) for part in parts[:-1]], i

    def _identifier(self, i: int) -> str:
        return self.texts[i][1:-1] if self.kinds[i] == STRING else self.texts[i]

    def _is_identifier(self, i: int) -> bool:
        kind = self.kinds[i]
        if kind in (WORD, QUOTED):
            return True
        if kind == STRING:
            return self.family == "sqlite"
        return kind == NUMBER and self.family == "mysql" and not self.texts[i][-1:].isdigit()
