"""What the database does behind Django's back, from its own catalogue.

Views lead to tables; triggers, rules, foreign keys and partitions change tables that no statement
names. `read_facts` finds them out once per process and database; `Catalogue` follows them, and what
`DEPENDS` and `TRIGGERS` declare, to their ends.
"""

from querycache.catalogue.closed import Catalogue, Reading
from querycache.catalogue.facts import (
    DELETE,
    INSERT,
    STAMP,
    UPDATE,
    Change,
    Facts,
    KeyColumn,
    Relation,
    all_events,
)
from querycache.catalogue.reading import read_facts
from querycache.catalogue.report import describe

__all__ = [
    "DELETE",
    "INSERT",
    "STAMP",
    "UPDATE",
    "Catalogue",
    "Change",
    "Facts",
    "KeyColumn",
    "Reading",
    "Relation",
    "all_events",
    "describe",
    "read_facts",
]
