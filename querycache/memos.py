"""What a process remembers to find out once: bounded, and forgotten as a whole when it is full."""

from __future__ import annotations

from typing import TypeVar

_Name = TypeVar("_Name")
_Remembered = TypeVar("_Remembered")

#: Names that are remembered where nothing else is said.
MOST = 4096


def remember(
    memo: dict[_Name, _Remembered], name: _Name, value: _Remembered, most: int = 0
) -> None:
    """Keep a value by its name; a program that makes up more of them than fit starts afresh.

    Args:
        memo: where it is kept.
        name: its name.
        value: the value.
        most: how many names there may be; 0: `MOST`.
    """
    if len(memo) >= (most or MOST):
        memo.clear()
    memo[name] = value
