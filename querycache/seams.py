"""Where querycache is put into Django; the only place that touches Django's classes.

Compilers are subclassed through `BaseDatabaseOperations.compiler`, which no backend overrides. All
statements, the ORM's own and raw ones, pass `CursorWrapper`; transactions end in
`BaseDatabaseWrapper`. What stands in place of their methods brings the whole cache along. So it is
imported by the first use of one of them, which is the first use of any database, and afterwards
nothing is left of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.creation import BaseDatabaseCreation
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.backends.utils import CursorWrapper

from querycache.runtime import runtime

_SEAMS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (BaseDatabaseOperations, ("compiler", "execute_sql_flush")),
    (CursorWrapper, ("_execute", "_executemany", "callproc")),
    # Of the driver's cursor, which they would reach unseen through CursorWrapper.__getattr__.
    (CursorWrapper, ("close", "copy", "copy_expert", "copy_from", "executescript")),
    (BaseDatabaseWrapper, ("_commit", "_rollback", "connect", "close", "set_autocommit")),
    (BaseDatabaseCreation, ("create_test_db", "clone_test_db")),
)


class First:
    """Stands in a class of Django's until anybody looks at it, and then gives way.

    Args:
        owner: the class.
        name: of its method.
    """

    def __init__(self, owner: type, name: str) -> None:
        self._owner = owner
        self._name = name
        self._original = vars(owner).get(name)

    @cached_property
    def replacement(self) -> Any:
        """What stands in the class from now on."""
        from querycache.replacements import ADDED, METHODS

        if self._original is None:
            return ADDED[self._name]
        return METHODS[self._owner, self._name](self._original)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        # Before the first query, which is to say what is wrong with the settings.
        runtime.ready()
        if vars(self._owner)[self._name] is self:
            setattr(self._owner, self._name, self.replacement)
        return self.replacement.__get__(instance, owner)


def arrange() -> bool:
    """Have Django's methods replaced by the first use of one, once per process.

    Returns:
        Whether that use is still to come.
    """
    standing = vars(BaseDatabaseOperations)["compiler"]
    if hasattr(standing, "querycache"):
        return False
    if not isinstance(standing, First):
        for owner, name in places():
            setattr(owner, name, First(owner, name))
    return True


def places() -> Iterator[tuple[type, str]]:
    """Name all classes and methods that are replaced."""
    return ((owner, name) for owner, names in _SEAMS for name in names)
