"""What SQL statements read, write and call, told from their tokens.

Everything that Django sends through a cursor is looked at once per text: `analyse` is pure,
linear and never raises, so a caller may keep its answers. When in doubt it names too much, or
says UNKNOWN.
"""

from querycache.rawsql.model import UNKNOWN, Kind, Scope, Setting, Statement
from querycache.rawsql.statements import analyse
from querycache.rawsql.text import text_of
from querycache.sqltokens import table_name

__all__ = [
    "UNKNOWN",
    "Kind",
    "Scope",
    "Setting",
    "Statement",
    "analyse",
    "table_name",
    "text_of",
]
