"""Cursors of SQLite that may still be read: each keeps its statement open, and more than that."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper


class Cursors:
    """The cursors of one driver connection, and what waits for the end of their statements."""

    __slots__ = ("_open", "_unfinished")

    def __init__(self) -> None:
        self._open: dict[int, weakref.ref[Any]] = {}
        self._unfinished: dict[int, tuple[weakref.ref[Any], Callable[[], None]]] = {}

    def opened(self, cursor: Any) -> Callable[[], None] | None:
        """Note a cursor that may keep a statement open.

        Returns:
            What waits for the end of the statement that the cursor ran before, if anything does.
        """
        self._open[id(cursor)] = weakref.ref(cursor)
        return self.used(cursor) if self._unfinished else None

    def used(self, cursor: Any) -> Callable[[], None] | None:
        """Return what waits for the end of the statement that a cursor ran before, if anything."""
        found = self._unfinished.pop(id(cursor), None)
        return None if found is None else found[1]

    def closed(self, cursor: Any) -> None:
        """Note that a cursor was closed."""
        self._open.pop(id(cursor), None)
        if self._unfinished:
            self.finish(cursor)

    def finish_with(self, wrapper: CursorWrapper, end: Callable[[], None]) -> None:
        """Call `end` once the statement of a cursor is over: closed, used again, or dropped."""
        cursor = wrapper.cursor

        def dropped(_: object) -> None:
            cursor.close()
            self.finish(cursor)

        former = self._unfinished.get(id(cursor))
        self._unfinished[id(cursor)] = (weakref.ref(wrapper, dropped), end)
        if former is not None:
            # The cursor was used again.
            former[1]()

    def finish(self, cursor: Any) -> None:
        """Call what waits for the end of a cursor's statement."""
        found = self._unfinished.pop(id(cursor), None)
        if found is not None:
            found[1]()

    def finish_all(self) -> None:
        """Call everything that waits: the connection is gone, and its statements with it."""
        while self._unfinished:
            self._unfinished.popitem()[1][1]()

    def reading(self, besides: Any = None) -> bool:
        """Tell whether a cursor may still be read, be it not the one that is given."""
        if self._open:
            # A cursor that was dropped without a close is closed by its finalizer.
            for name, cursor in list(self._open.items()):
                if cursor() is None:
                    del self._open[name]
        return any(name != id(besides) for name in self._open)
