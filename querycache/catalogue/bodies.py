"""What the bodies of triggers and routines write and call, told from their tokens.

No grammar of a procedural language is needed for that: whatever stands around it, a statement that
writes begins with its verb and names its table behind it. What only looks like one adds a name too
many.
"""

from __future__ import annotations

from collections.abc import Callable

from querycache.catalogue.facts import DELETE, EVENTS, INSERT, STAMP, UPDATE, Change, Code
from querycache.keys import ELSEWHERE
from querycache.rawsql.reader import Reader
from querycache.rawsql.words import DIALECTS
from querycache.sqltokens import QUOTED, WORD, ambiguous, table_name, tokenise

_MODIFIERS = frozenset(
    "low_priority delayed high_priority ignore or rollback abort fail replace only".split()  # noqa: SIM905
)
#: What ends the list of tables of MySQL's UPDATE and DELETE.
_BEHIND_TABLES = frozenset(("set", "where", "order", "limit", "returning"))
_BETWEEN_TABLES = frozenset(
    "from join using inner left right outer cross natural straight_join on as ignore".split()  # noqa: SIM905
)
#: Words in front of a statement within a body.
_IN_FRONT = frozenset(("then", "else", "begin", "loop", "do", "repeat", "atomic"))


def read_body(text: str, vendor: str, database: str = "", *, head: bool = False) -> Code:
    """Tell what a body of SQL or of a procedural language does.

    Args:
        text: the body.
        vendor: `connection.vendor`.
        database: the name that tables of this database are qualified with on MySQL.
        head: whether everything up to the first BEGIN stands before the body.
    """
    tokens = tokenise(text, vendor)
    if tokens.odd or ambiguous(text, vendor):
        return Code(unknown="its text cannot be read")
    start = tokens.texts.index("begin") if head and "begin" in tokens.texts else 0
    reader = Reader(tokens, start, len(tokens.kinds), DIALECTS[vendor])
    return _Body(reader, database.casefold()).read()


class _Body:
    """One walk over the tokens of a body."""

    def __init__(self, reader: Reader, database: str) -> None:
        self._r = reader
        self._database = database
        self._changes: set[Change] = set()
        self._calls: set[str] = set()
        self._unknown: str | None = None
        self._conflicts = False
        self._verbs: dict[str, Callable[[int], None]] = {
            "insert": self._insert,
            "update": self._update,
            "delete": self._delete,
            "merge": self._merge,
            "truncate": self._truncate,
            "refresh": self._refresh,
            "call": self._call,
            "copy": self._copy,
            "create": self._create,
        }
        if reader.family != "postgresql":
            self._verbs["replace"] = self._replace

    def read(self) -> Code:
        """Read it all."""
        r = self._r
        for i in range(r.start, r.end):
            kind = r.kinds[i]
            if kind not in (WORD, QUOTED):
                continue
            if r.is_op(i + 1, "("):
                self._calls.add(table_name(r.texts[i]))
            if kind == QUOTED or r.is_op(i - 1, "."):
                continue
            word = r.texts[i]
            verb = self._verbs.get(word)
            if verb is not None:
                verb(i)
            elif word in ("execute", "prepare") and r.family != "sqlite":
                self._unknown = "it runs statements that it composes"
            elif word in ("alter", "drop", "rename", "load", "import") and self._begins(i):
                self._unknown = f"it runs {word.upper()}"
        if self._conflicts:
            inserted = {table for table, event in self._changes if event == INSERT}
            self._changes |= {(table, UPDATE) for table in inserted}
        return Code(frozenset(self._changes), frozenset(self._calls), self._unknown)

    def _begins(self, i: int) -> bool:
        return i == self._r.start or self._r.is_op(i - 1, ";") or self._r.word(i - 1) in _IN_FRONT

    def _target(self, i: int, *events: str) -> int:
        r = self._r
        while r.word(i) in _MODIFIERS and r.is_name(i + 1):
            i += 1
        if not r.is_name(i) and r.family != "sqlite":
            return i
        name, qualifiers, behind = r.path(i)
        names = {name}
        if r.family == "mysql":
            names |= {
                f"{ELSEWHERE}{space}{ELSEWHERE}{name}"
                for space in qualifiers
                if space != self._database
            }
        self._changes |= {(one, event) for one in names for event in events}
        return behind

    def _insert(self, i: int) -> None:
        r = self._r
        # INTO may be left out on MySQL only, where INSERT() is a function too.
        if r.is_op(i + 1, "("):
            return
        k = i + 1
        while r.word(k) in _MODIFIERS:
            k += 1
        if r.word(k) == "into":
            k += 1
        elif r.family != "mysql":
            return
        replaces = "replace" in (r.word(i + 2), r.word(i + 1))
        self._target(k, INSERT, *((DELETE, UPDATE) if replaces else ()))

    def _replace(self, i: int) -> None:
        if self._r.is_op(i + 1, "(") or self._r.word(i - 1) == "or":
            return
        k = i + 1
        while self._r.word(k) in _MODIFIERS or self._r.word(k) == "into":
            k += 1
        self._target(k, *EVENTS)

    def _update(self, i: int) -> None:
        r = self._r
        before = r.word(i - 1)
        if before in ("for", "on"):
            return
        if r.word(i + 1) == "set" or before == "key":
            # ON CONFLICT DO UPDATE SET, ON DUPLICATE KEY UPDATE, MERGE … THEN UPDATE SET.
            self._conflicts = True
            return
        if r.family == "mysql":
            self._each(i + 1, UPDATE)
        else:
            replaces = r.word(i + 1) == "or" and r.word(i + 2) == "replace"
            self._target(i + 1, UPDATE, *((DELETE,) if replaces else ()))

    def _delete(self, i: int) -> None:
        if self._r.family == "mysql":
            self._each(i + 1, DELETE)
        elif self._r.word(i + 1) == "from":
            self._target(i + 2, DELETE)

    def _each(self, i: int, event: str) -> None:
        """Note every name up to the end of a list of tables, aliases and columns included."""
        r = self._r
        while i < r.end and not r.is_op(i, ";") and r.word(i) not in _BEHIND_TABLES:
            if (
                r.is_name(i)
                and not r.is_op(i - 1, ".")
                and r.word(i) not in _BETWEEN_TABLES | _MODIFIERS
            ):
                self._target(i, event)
            i += 1

    def _merge(self, i: int) -> None:
        if self._r.word(i + 1) == "into":
            self._target(i + 2, *EVENTS)

    def _truncate(self, i: int) -> None:
        r = self._r
        if not self._begins(i):
            return
        i += 2 if r.word(i + 1) == "table" else 1
        while True:
            i = self._target(i, DELETE)
            if r.is_op(i, "*"):
                i += 1
            if not r.is_op(i, ","):
                break
            i += 1
        while i < r.end and not r.is_op(i, ";"):
            if r.word(i) == "cascade":
                self._unknown = "it runs TRUNCATE … CASCADE"
            i += 1

    def _refresh(self, i: int) -> None:
        r = self._r
        if (r.word(i + 1), r.word(i + 2)) == ("materialized", "view"):
            self._target(i + 4 if r.word(i + 3) == "concurrently" else i + 3, STAMP)

    def _call(self, i: int) -> None:
        if self._r.is_name(i + 1):
            self._calls.add(self._r.path(i + 1)[0])

    def _copy(self, i: int) -> None:
        if self._begins(i):
            self._unknown = "it runs COPY"

    def _create(self, i: int) -> None:
        near = {self._r.word(k) for k in range(i + 1, i + 4)}
        if near.isdisjoint(("temp", "temporary")):
            self._unknown = "it runs CREATE"
