"""Find the tables and functions of one statement, in one pass over its tokens.

Every parenthesis is a frame with a state of its own, so a FROM is a table position only in a frame
that is a statement (`EXTRACT(year FROM x)` is none), and a comma only in a list of tables. What
cannot stand in a table position makes the statement odd: then nothing that was found is trusted.
"""

from __future__ import annotations

from collections import Counter

from querycache.rawsql import actions, targets
from querycache.rawsql.reader import (
    ALIAS,
    CTE,
    EXPRESSION,
    NOTHING,
    TABLE,
    TABLE_POSITION,
    Frame,
    Reader,
)
from querycache.rawsql.words import (
    AFTER_TABLE,
    ANOTHER_STATEMENT,
    STARTERS,
    TABLE_FUNCTIONS,
    TYPE_WORDS,
    Dialect,
)
from querycache.sqltokens import (
    OPERATOR,
    PARAM,
    QUOTED,
    STRING,
    VARIABLE,
    WORD,
    Tokens,
    table_name,
)

_CASTS = frozenset(("cast", "try_cast", "safe_cast", "treat"))

#: Words that are no function behind these (`")"` and literals are the kinds' own texts).
_NOT_CALLED_BEHIND = {
    "over": (")", "nulls"),
    "filter": (")",),
    "repeatable": (")",),
    "zone": ("time",),
    "sets": ("grouping",),
    "conflict": ("on",),
    "materialized": ("as", "not"),
    "first": ("fetch",),
    "next": ("fetch",),
    "top": ("select", "distinct", "all"),
}
_NOT_CALLED_BEHIND_OPERANDS = frozenset(("columns", "escape"))


class Scanner(Reader):
    """Reads the tokens of one statement; its sets are the result.

    Args:
        tokens: of the whole script.
        start: index of the first token.
        end: index behind the last one.
        dialect: of the database.
    """

    def __init__(self, tokens: Tokens, start: int, end: int, dialect: Dialect) -> None:
        super().__init__(tokens, start, end, dialect)
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.inserts: set[str] = set()
        self.deletes: set[str] = set()
        self.updates: set[str] = set()
        self.temporary: set[str] = set()
        self.functions: set[str] = set()
        self.qualifiers: set[str] = set()
        self.everything = False
        self.modifies = False
        self.locking = False
        self.frame = Frame(CTE)  # where a data-modifying statement may stand
        self.stack: list[Frame] = []
        self.visible: Counter[str] = Counter()

    def run(self) -> Scanner:
        """Read all tokens."""
        kinds, texts, end = self.kinds, self.texts, self.end
        i = self.start
        while i < end:
            frame = self.frame
            if frame.fresh:
                frame.fresh = False
                i = self._begin(i)
                continue
            if frame.expect == TABLE:
                i = self._table(i)
                continue
            if frame.expect == ALIAS:
                frame.expect = NOTHING
                i = self._alias(i)
                continue
            kind = kinds[i]
            if kind == WORD:
                i = self._word(i, texts[i])
            elif kind == OPERATOR:
                i = self._operator(i, texts[i])
            elif kind == QUOTED:
                i = self._name(i)
            else:
                self._literal(i, kind, texts[i])
                i += 1
        if self.stack or self.frame.expect == TABLE:
            self.odd = True
        self._leave(self.frame)
        return self

    # Frames.

    def push(self, i: int, role: int = EXPRESSION) -> int:
        """Open a frame at the parenthesis at `i`; returns the index behind it."""
        self.stack.append(self.frame)
        self.frame = Frame(role)
        return i + 1

    def _pop(self, i: int) -> int:
        if not self.stack:
            self.odd = True
            return i + 1
        closed = self.frame
        self._leave(closed)
        frame = self.frame = self.stack.pop()
        if closed.role == TABLE_POSITION:
            frame.expect = ALIAS
        elif closed.role == CTE:
            if not frame.recursive:
                self._show(frame, closed.cte)
            if self.is_op(i + 1, ","):
                return self._cte(i + 2) or i + 1
        return i + 1

    def _leave(self, frame: Frame) -> None:
        if frame.collect is not None and frame.verb:
            targets.flush(self, frame)
        for name in frame.ctes or ():
            self.visible[name] -= 1

    def _show(self, frame: Frame, name: str) -> None:
        self.visible[name] += 1
        if frame.ctes is None:
            frame.ctes = []
        frame.ctes.append(name)

    def _begin(self, i: int) -> int:
        """Read the word that makes a fresh frame a statement."""
        frame, word = self.frame, self.word(i)
        if word not in STARTERS:
            return i
        if word == "with":
            return self.with_clause(i)
        if word == "table":
            return self.table_statement(i)
        if word in ("select", "values"):
            frame.verb = word
            frame.in_from = False
            frame.collect = None
            return i + 1
        # What begins the whole statement is a verb whatever follows: MySQL's UPDATE (t JOIN u).
        named = self.is_name(i + 1) and frame.role == CTE
        if not self.stack or named or self.word(i + 1) in ("into", "from"):
            return targets.begin(self, i)
        return i

    def with_clause(self, i: int) -> int:
        recursive = self.word(i + 1) == "recursive" and self.is_name(i + 2)
        if recursive and self.word(i + 2) == "as" and self.is_op(i + 3, "("):
            recursive = False  # a CTE of that name
        if not recursive and self.word(i + 1) == "ordinality":
            return i + 1
        self.frame.recursive = recursive
        return self._cte(i + 2 if recursive else i + 1) or i + 1

    def _cte(self, i: int) -> int:
        """Open the CTE whose name stands at `i`; 0 when it is none."""
        if not self.is_name(i):
            return 0
        name = table_name(self.texts[i])
        i += 1
        if self.is_op(i, "("):
            i += 1
            while self.is_name(i) or self.is_op(i, ","):
                i += 1
            if not self.is_op(i, ")"):
                return 0
            i += 1
        if self.word(i) != "as":
            return 0
        i += 1
        if self.word(i) == "not":
            i += 1
        if self.word(i) == "materialized":
            i += 1
        if not self.is_op(i, "("):
            return 0
        frame = self.frame
        frame.verb = frame.verb or "with"
        if frame.ctes is None:
            frame.ctes = []
        if frame.recursive:
            self._show(frame, name)
        i = self.push(i, CTE)
        self.frame.cte = name
        return i

    # Table positions.

    def table_statement(self, i: int) -> int:
        if self.is_name(i + 1) and not self.is_op(i + 2, "("):
            self.frame.verb = self.frame.verb or "table"
            self.frame.in_from = False
            self.frame.expect = TABLE
        return i + 1

    def _table(self, i: int) -> int:
        frame = self.frame
        if self.is_op(i, "("):
            i = self.push(i, TABLE_POSITION)
            if not self._is_statement(i):
                self.frame.fresh = False
                self.frame.in_from = True
                self.frame.expect = TABLE
                self.frame.collect = frame.collect
            return i
        word = self.word(i)
        if word and self._is_modifier(word, i):
            return i + (2 if word == "rows" else 1)
        bare = word if not self.is_op(i + 1, ".") else ""
        name, qualifiers, i = self.path(i)
        frame.expect = ALIAS
        self.qualifiers.update(qualifiers)
        if self.is_op(i, "("):
            self.functions.add(name)
            if self.family != "sqlite" or name in TABLE_FUNCTIONS or name.startswith("pragma_"):
                return self.push(i, TABLE_POSITION)
            # A virtual table may be written like a function.
            self.read(name, qualifiers)
            return self.push(i, TABLE_POSITION)
        if bare in self.dialect.called_bare:
            self.functions.add(name)
        self.read(name, qualifiers)
        return i

    def _is_statement(self, i: int) -> bool:
        word = self.word(i)
        if word in ("select", "with", "values", "table"):
            return True
        return word in STARTERS and self.word(i + 1) in ("into", "from")

    def _is_modifier(self, word: str, i: int) -> bool:
        if word == "rows":
            return self.word(i + 1) == "from"
        if word == "only":
            return self.family in ("postgresql", "other")
        if word == "lateral":
            return self.is_op(i + 1, "(") or self.family in ("postgresql", "other")
        return word == "table" and (self.is_op(i + 1, "(") or self.is_name(i + 1))

    def read(self, name: str, qualifiers: list[str]) -> None:
        """Note a table in a table position, unless it is a CTE."""
        if not qualifiers and self.visible[name] > 0:
            return
        if self.frame.collect is not None:
            self.frame.collect.append(name)
        else:
            self.reads.add(name)

    def _alias(self, i: int) -> int:
        kind, text = self.kinds[i], self.texts[i]
        if kind == OPERATOR:
            if text == "*":  # PostgreSQL: and the tables that inherit
                self.frame.expect = ALIAS
                return i + 1
            return self._operator(i, text)
        if kind == WORD:
            if text == "as" and self.is_op(i + 1, "("):
                return self.push(i + 1)
            if text == "as" or text in AFTER_TABLE:
                return self._word(i, text)
            if text in ANOTHER_STATEMENT and self.family == "other":
                self.odd = True
        elif kind not in (QUOTED, STRING):
            return i
        return self.push(i + 1) if self.is_op(i + 1, "(") else i + 1

    # Everywhere else.

    def _operator(self, i: int, text: str) -> int:
        frame = self.frame
        if text == "(":
            return self.push(i)
        if text == ")":
            return self._pop(i)
        if text == ",":
            if frame.in_from:
                frame.expect = TABLE
            elif frame.ctes is not None and frame.verb == "with":
                return self._cte(i + 1) or i + 1
        elif text == "::":
            return self.type_name(i + 1)
        elif text == "." and self.is_name(i + 1):
            return self._name(i + 1)
        elif text == ";":
            self.odd = True
        return i + 1

    def _literal(self, i: int, kind: int, text: str) -> None:
        if kind == STRING:
            clock = self.dialect.clock_strings
            if clock is not None and clock.search(text):
                self.functions.add("now")
        elif kind == VARIABLE:
            sigil = "@@" if text.startswith("@@") else "@"
            self.functions.add(sigil + table_name(text[len(sigil) :].strip("'")))
        elif kind == PARAM and self.is_op(i + 1, "("):
            # Not a placeholder but an operator and a function: 10 %s(1)
            self.functions.add(text[-32:])

    def _name(self, i: int) -> int:
        """Read a column or a function."""
        kinds, texts, end = self.kinds, self.texts, self.end
        first, j = i, i + 1
        while j + 1 < end and kinds[j] == OPERATOR and texts[j] == "." and kinds[j + 1] <= QUOTED:
            i, j = j + 1, j + 2
        if j < end and kinds[j] == OPERATOR and texts[j] == "(":
            self.functions.add(table_name(texts[i]))
            self.qualifiers.update(table_name(texts[k]) for k in range(first, i, 2))
            return self.push(j)
        if i > first and texts[i] in ("nextval", "currval"):
            self.functions.add(texts[i])
        return j

    def type_name(self, i: int) -> int:
        """Read a type's name; what its parenthesis holds is no argument."""
        if not self.is_name(i):
            return i
        i += 1
        while self.is_op(i, ".") and self.is_name(i + 1):
            i += 2
        while self.word(i) in TYPE_WORDS:
            i += 1
        return self.push(i) if self.is_op(i, "(") else i

    def _word(self, i: int, text: str) -> int:
        frame = self.frame
        if self.is_op(i + 1, "."):
            if text in actions.ACTIONS:  # MySQL's `FROM .t`
                self.odd = True
            return self._name(i)
        action = actions.ACTIONS.get(text)
        if action is not None:
            return action(self, i)
        if text in self.dialect.ends:
            frame.in_from = False
            return i + 1
        if self.is_op(i + 1, "("):
            if text not in self.dialect.not_called and not self._is_keyword(i, text):
                self.functions.add(table_name(text))
            i = self.push(i + 1)
            self.frame.cast = text in _CASTS
            return i
        if text in self.dialect.called_bare:
            self.functions.add(text)
        elif text in ANOTHER_STATEMENT and self.family == "other" and self.word(i - 1) != "then":
            self.odd = True
        return i + 1

    def _is_keyword(self, i: int, text: str) -> bool:
        if i <= self.start:
            return False
        if text in _NOT_CALLED_BEHIND_OPERANDS:
            return self.kinds[i - 1] != OPERATOR or self.texts[i - 1] in (")", "]")
        return self.texts[i - 1] in _NOT_CALLED_BEHIND.get(text, ())
