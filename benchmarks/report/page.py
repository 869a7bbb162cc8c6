"""The page of the documentation that a result makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report.tables import parts

HEAD = """\
# Performance

What a query costs with querycache, without a cache and with others, and what the ORM alone costs
(the *floor*: compilers find their rows in a dict in place of the database, which is the best that a
cache can reach that leaves compiling to them). The *limit* of a store is the floor with the least
that a store must be asked by whoever is never stale, and nothing else: one read of an entry and
four stamps before rows are taken from the dict, a write after a query that was not in it, two
stamps changed before a write and after it. Commands are made beforehand and answers are not looked
at.

Every contender runs in a process of its own with a database of its own. They take turns of a few
milliseconds, so that whatever slows the machine slows all of them, and ratios are taken turn by
turn. The figure of a turn is that of its fastest tenth of queries, since a busy machine only ever
makes a query slower; the figures below are medians over all turns. The traffic's are medians over
batches, each after some operations that are not measured, and begin when the stores have run for
longer than a lease, so that they know of nobody who writes. Hits are checked to leave the database
alone and misses to reach it; who does otherwise on a shape is listed under *Not measured*.

Servers run on the same machine and are reached over loopback. PostgreSQL and MariaDB do not wait
for their disk and SQLite has `synchronous=normal`, which makes writes without a cache as cheap as
they get, and so the ratios of writes as high.

This page is made from a result in the repository. To repeat it on your machine, and to see it as
plots: [run the benchmarks](../how-to/benchmarks.md)."""


def page(result: Mapping[str, Any], source: str) -> str:
    """Return the page.

    Args:
        result: what a run gave.
        source: the file name of the result.
    """
    # Nothing in the tables but what the result holds: the page is made by a command.
    made = f"<!-- made by `python -m benchmarks page benchmarks/results/{source}` -->"
    return "\n\n".join([made, HEAD, *parts(result)]) + "\n"
