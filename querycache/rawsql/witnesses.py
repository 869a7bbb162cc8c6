"""Which row it is that `exists()` has found: the text that asks for its key in place of 1.

Whether there is a row changes with every write that may be about one of those which are asked for.
That there is a certain row does not.
"""

from __future__ import annotations

import re

# As Django writes it, since the table's name goes before that of its key.
_EXISTS = re.compile(r"""SELECT %s AS (["`])a\1 FROM ((["`])[^"`%]+\3)(?= )""")


def witnessing(sql: str, key: str) -> str | None:
    """Return the text that asks for the key of a row where one asks whether there is any.

    Args:
        sql: that text, ``SELECT %s AS "a" FROM "table" … LIMIT 1``; the other has all its
            parameters but the first.
        key: the column with the primary key of its first table, whose name stands for its rows.

    Returns:
        None where it is no text that Django writes.
    """
    found = _EXISTS.match(sql)
    if found is None or not re.fullmatch(r"[^\"`%]+", key):
        return None
    quote, table = found[1], found[2]
    # Names that the text and the catalogue have given, without a quote in them.
    asked = f"{table}.{quote}{key}{quote} AS {quote}a{quote}"
    return f"SELECT {asked} FROM {table}{sql[found.end() :]}"  # noqa: S608
