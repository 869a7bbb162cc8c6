"""Tokens of SQL text, as the database itself would cut it, for each family of dialects.

Quotes, comments and escapes decide what is code, so each family has one compiled expression. Where
the meaning of a character depends on what cannot be seen here, or nothing fits, tokenising stops
and says so (`Tokens.odd`): the caller then trusts nothing behind that place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

WORD = 1  # bare word, lower case: a keyword or an identifier
QUOTED = 2  # quoted identifier, without its quotes (in MySQL also a "string")
STRING = 3  # string literal, with its quotes
PARAM = 4  # placeholder, or a run of them
NUMBER = 5
_COMMENT = 6
_OPENING = 7  # of a comment that the expression alone cannot end: nested, executable, unterminated
OPERATOR = 8
VARIABLE = 9  # @name, @@name
_ODD = 10

_SPACE = r"[ \t\n\r\f\v]*+"
# Servers take every character beyond ASCII for a letter, no-break spaces too.
_LETTERS = r"A-Za-z_\x80-\U0010ffff"
_NEVER = r"(?!)"

_QUOTES = str.maketrans("", "", '"`[]')


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a script, as two lists of the same length.

    Args:
        kinds: what each token is (`WORD`, `QUOTED`, …).
        texts: what each token says: words in lower case, quoted identifiers without quotes.
        odd: whether tokenising stopped early at something that cannot be told.
    """

    kinds: list[int]
    texts: list[str]
    odd: bool


def table_name(raw: str) -> str:
    """Return the name under which a table is known, however it was written.

    The last component of a dotted name, without quotes, casefolded. A dot inside quotes separates
    too: Django's ``'schema"."table'`` trick makes both spellings one table, and calling two tables
    one only invalidates too much.

    Args:
        raw: a model's `db_table` or a name in SQL, with or without quotes and schema. Where a
            backend changes names (Oracle shortens them) give what `quote_name` returns.
    """
    if "." in raw:
        raw = raw.rpartition(".")[2]
    if "%%" in raw:
        raw = raw.replace("%%", "%")
    return raw.translate(_QUOTES).strip().casefold()


def family_of(vendor: str) -> str:
    """Return the dialect family of a `connection.vendor`: itself, or ``"other"``."""
    return vendor if vendor in _FAMILIES else "other"


def ambiguous(sql: str, vendor: str) -> bool:
    r"""Tell whether a server setting decides where a string of this text ends.

    ``'\'`` is a whole string or not, by `standard_conforming_strings` and `NO_BACKSLASH_ESCAPES`.
    """
    return vendor != "sqlite" and ("\\'" in sql or '\\"' in sql)


def tokenise(sql: str, vendor: str, *, unusual: bool = False) -> Tokens:
    """Cut SQL text into tokens; comments are left out.

    Args:
        sql: one statement or a script.
        vendor: Django's `connection.vendor`.
        unusual: read backslashes in strings the way that is not the vendor's default.
    """
    pattern, resume = _FAMILIES[family_of(vendor)](sql, unusual)
    kinds: list[int] = []
    texts: list[str] = []
    state = [0]
    position = 0
    while True:
        for match in pattern.finditer(sql, position):
            kind = match.lastindex
            if kind is None:  # white space at the end
                return Tokens(kinds, texts, state[0] != 0)
            if kind == WORD:
                texts.append(match[WORD].lower())
            elif kind == OPERATOR:
                texts.append(match[OPERATOR])
            elif kind == QUOTED:
                texts.append(_unquoted(match[QUOTED]))
            elif kind == _COMMENT:
                continue
            elif kind == _OPENING:
                position = resume(sql, match, state)
                if position < 0:
                    return Tokens(kinds, texts, True)
                start = match.start(_OPENING)
                if sql[start] == "$":
                    kinds.append(STRING)
                    texts.append(sql[start:position])
                break
            elif kind == _ODD:
                return Tokens(kinds, texts, True)
            else:
                texts.append(match[kind])
            kinds.append(kind)
        else:
            return Tokens(kinds, texts, state[0] != 0)


def countable(sql: str, vendor: str) -> Tokens | None:
    """Cut a statement into tokens if its placeholders can be counted, and its names be told.

    Args:
        sql: one statement with placeholders ``%s``.
        vendor: Django's `connection.vendor`.
    """
    # An escaped per cent sign makes placeholders hard to count. MySQL reads "a" as a string.
    if "%%" in sql or (vendor == "mysql" and '"' in sql):
        return None
    tokens = tokenise(sql, vendor)
    return None if tokens.odd or not tokens.kinds else tokens


_ESCAPE = re.compile(r"\\(?:\\|\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4}))")


def _unquoted(text: str) -> str:
    quote = text[-1]
    if quote == "]":
        return text[1:-1]
    if text[0] in "uU":
        inner = text[3:-1].replace('""', '"')
        return _ESCAPE.sub(_character, inner)
    inner = text[1:-1]
    return inner.replace(quote * 2, quote) if quote in inner else inner


def _character(match: re.Match[str]) -> str:
    digits = match[1] or match[2]
    if digits is None:
        return "\\"
    code = int(digits, 16)
    return chr(code) if code <= 0x10FFFF else ""


_Resume = Callable[[str, re.Match[str], list[int]], int]


def _string(quote: str, escapes: bool) -> str:
    if escapes:
        return rf"{quote}[^{quote}\\]*+(?:(?:\\.|{quote}{quote})[^{quote}\\]*+)*+{quote}"
    return rf"{quote}[^{quote}]*+(?:{quote}{quote}[^{quote}]*+)*+{quote}"


_PLAIN = _string("'", False)
_ESCAPED = _string("'", True)
_DOUBLE = _string('"', False)
_BACKTICK = _string("`", False)
# A run goes over the border of two rows: the parentheses are as deep behind it as before. The
# look-ahead stands inside it: behind it, a run that fails would be tried from every start.
_FORMAT = r"%s(?!\w)(?:(?:, ?|\), \()%s(?!\w))*+|%[bt](?!\w)|%\([^()'\"\s]*+\)[sbt](?!\w)"
_PLAIN_COMMENT = r"/\*[^*]*+(?:\*(?!/)[^*]*+)*+\*/"
_FLAT_COMMENT = r"/\*[^*/]*+(?:\*(?!/)[^*/]*+|/(?!\*)[^*/]*+)*+\*/"
_DIGITS = (
    r"(?:0[xX][0-9a-fA-F_]++|0[oO][0-7_]++|0[bB][01_]++"
    r"|(?:[0-9][0-9_]*+(?:\.[0-9_]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)"
    rf"(?![$0-9{_LETTERS}])"
)


def _compile(
    *, word: str, quoted: str, string: str, param: str, number: str, comment: str, opening: str,
    operator: str, variable: str,
) -> re.Pattern[str]:  # fmt: skip
    # What calls this does so when its expression is first used: compiling takes milliseconds of a
    # process's start, and a project has one family or two.
    # The order of the alternatives is the order of the kinds, and the first that fits wins:
    # comments begin with what is an operator elsewhere.
    parts = (word, quoted, string, param, number, comment, opening, operator, variable, ".")
    return re.compile(_SPACE + "(?:" + "|".join(f"({part})" for part in parts) + r"|\Z)", re.DOTALL)


@cache
def _postgresql(escapes: bool) -> re.Pattern[str]:
    string = _ESCAPED if escapes else _PLAIN
    # A string goes on behind white space with a line break, and E holds for all of it.
    extended = rf"[eE]{_ESCAPED}(?:[ \t\f\v]*+[\n\r]{_SPACE}{_ESCAPED})*+"
    return _compile(
        word=rf"(?![eE]'|[uU]&['\"])[{_LETTERS}][$0-9{_LETTERS}]*+",
        quoted=rf"(?:[uU]&)?{_DOUBLE}",
        string=rf"{extended}|(?:[uU]&)?{string}",
        param=rf"{_FORMAT}|\$[0-9]++(?![$0-9{_LETTERS}])",
        number=_DIGITS,
        operator=r"::|[-+*/<>=~!@#%^&|?:.,;()\[\]{}]",
        variable=_NEVER,
        comment=rf"--[^\n\r]*+|{_FLAT_COMMENT}",
        opening=rf"/\*|\$(?:[{_LETTERS}][0-9{_LETTERS}]*+)?\$",
    )


@cache
def _sqlite() -> re.Pattern[str]:
    return _compile(
        # A byte order mark is white space for SQLite, wherever it stands.
        word=rf"(?!\ufeff)[{_LETTERS}](?:(?!\ufeff)[$0-9{_LETTERS}])*+",
        quoted=rf"{_DOUBLE}|{_BACKTICK}|\[[^\]]*+\]",
        string=_PLAIN,
        param=rf"{_FORMAT}|\?[0-9]*+|[:@$][$0-9{_LETTERS}]++",
        number=_DIGITS,
        operator=r"[-+*/<>=~!%&|.,;()]",
        variable=_NEVER,
        comment=rf"--[^\n]*+|{_PLAIN_COMMENT}",
        opening=r"/\*",
    )


@cache
def _mysql(escapes: bool, executable: bool) -> re.Pattern[str]:
    single, double = _string("'", escapes), _string('"', escapes)
    return _compile(
        word=rf"[${_LETTERS}][$0-9{_LETTERS}]*+",
        quoted=rf"{_BACKTICK}|{double}",
        string=single,
        param=rf"{_FORMAT}|\?",
        # An identifier may begin with a digit.
        number=rf"{_DIGITS}|[0-9][$0-9{_LETTERS}]++",
        operator=r":=|[-+*/<>=~!%^&|:.,;(){}]",
        variable=rf"@@?+(?:[$.0-9{_LETTERS}]++|{_BACKTICK}|{single}|{double})?+",
        comment=r"\#[^\n]*+|--(?=[\x00-\x20\x7f]|\Z)[^\n]*+|/\*(?!M?!)[^*]*+(?:\*(?!/)[^*]*+)*+\*/",
        opening=r"/\*(?:M?![0-9]*+)?" + (r"|\*/" if executable else ""),
    )


@cache
def _other(escapes: bool) -> re.Pattern[str]:
    # Only what all dialects cut alike; the rest is odd.
    return _compile(
        word=r"(?![qQeE]'|[nN][qQ]'|[uU]&['\"])[^\W\d][\w$]*+(?!\#)",
        quoted=rf"{_DOUBLE}|{_BACKTICK}|\[[\w $.-]*+\]",
        string=_ESCAPED if escapes else _PLAIN,
        param=rf"{_FORMAT}|:\w++",
        number=_DIGITS,
        operator=r"::|[-+*/<>=~!@%^&|?:.,;()\[\]{}]",
        variable=r"@@?+\w++",
        comment=rf"--(?=[ \t\r\n]|\Z)[^\r\n]*+(?:\r?\n|\Z)|(?!/\*M?!){_FLAT_COMMENT}",
        opening=r"--|/\*",
    )


def _never_resumes(sql: str, match: re.Match[str], state: list[int]) -> int:
    return -1


_DELIMITER = re.compile(r"/\*|\*/")


def _postgresql_resumes(sql: str, match: re.Match[str], state: list[int]) -> int:
    text = match[_OPENING]
    if text != "/*":  # $tag$ … $tag$
        found = sql.find(text, match.end())
        return found + len(text) if found >= 0 else -1
    depth = 0
    for delimiter in _DELIMITER.finditer(sql, match.start(_OPENING)):
        depth += 1 if delimiter[0] == "/*" else -1
        if depth == 0:
            return delimiter.end()
    return -1


#: Every server that Django supports runs the code of comments up to this version: MySQL because
#: it is newer, MariaDB because only those from 50700 to 99999 are comments there.
_LAST_CERTAIN = 50699


def _executable(sql: str, match: re.Match[str], state: list[int]) -> int:
    text = match[_OPENING]
    if text == "*/":
        state[0] -= 1
        return match.end() if state[0] >= 0 else -1
    if text == "/*":
        return -1
    version = text.partition("!")[2]
    if text[2] == "M" or (version and (len(version) != 5 or int(version) > _LAST_CERTAIN)):
        return -1
    state[0] += 1
    return match.end()


_FAMILIES: dict[str, Callable[[str, bool], tuple[re.Pattern[str], _Resume]]] = {
    "postgresql": lambda sql, unusual: (_postgresql(unusual), _postgresql_resumes),
    "sqlite": lambda sql, unusual: (_sqlite(), _never_resumes),
    "mysql": lambda sql, unusual: (
        _mysql(not unusual, "/*!" in sql or "/*M!" in sql),
        _executable,
    ),
    "other": lambda sql, unusual: (_other(unusual), _never_resumes),
}
