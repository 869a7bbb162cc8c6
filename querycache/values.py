"""What the values in ``QUERYCACHE`` may be: one small reader for every kind of value.

A reader turns a value as the project wrote it into the one that the code uses, or raises
`WrongError`.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

from django.conf import settings

from querycache.stores import SCHEMES, parse_size
from querycache.stores.base import StoreUnusable

WRONG_VALUE: Final = "E002"
UNKNOWN_SCHEME: Final = "E004"


@dataclass(frozen=True, slots=True)
class Around:
    """The names in the project's other settings that ``QUERYCACHE`` may mention.

    Args:
        caches: aliases of ``CACHES``.
        databases: aliases of ``DATABASES``.
    """

    caches: Collection[str]
    databases: Collection[str]

    @classmethod
    def settings(cls) -> Around:
        """Take them from the project's settings."""
        return cls(tuple(settings.CACHES), tuple(settings.DATABASES))


T = TypeVar("T")
Reader: TypeAlias = Callable[[object, Around], T]


class WrongError(ValueError):
    """A value that is not allowed.

    Args:
        nearest: the right name that comes nearest.
        allowed: what would be right, where the key's own text says too little.
        check: the number of the system check.
    """

    def __init__(
        self, nearest: str | None = None, allowed: str | None = None, check: str = WRONG_VALUE
    ) -> None:
        super().__init__(nearest)
        self.nearest = nearest
        self.allowed = allowed
        self.check = check


def nearest(name: object, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` is most likely a misspelling of."""
    if not isinstance(name, str):
        return None
    folded = {known.casefold(): known for known in names}
    found = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[found[0]] if found else None


def size(value: object, around: Around) -> int:
    """Read a number of bytes above 0, or a size such as ``"1mb"``."""
    if not isinstance(value, str):
        return count(value, around)
    try:
        return parse_size(value)
    except (StoreUnusable, OverflowError):
        raise WrongError from None


def count(value: object, around: Around) -> int:
    """Read a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise WrongError
    return value


def number(low: float, high: float, *, open_low: bool = False) -> Reader[float]:
    """Make a reader of numbers from `low` to `high`; `low` itself is left out when `open_low`."""

    def read(value: object, around: Around) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WrongError
        # A NaN fails both comparisons; infinity and what no float can hold are no numbers to use.
        if not (low <= value <= high) or value > sys.float_info.max or (open_low and value == low):
            raise WrongError
        return float(value)

    return read


def milliseconds(low: float, high: float) -> Reader[int]:
    """Make a reader of numbers of seconds from `low` to `high` that gives milliseconds."""
    seconds = number(low, high)
    return lambda value, around: round(seconds(value, around) * 1000)


def optional(read: Reader[T]) -> Reader[T | None]:
    """Make a reader that lets None through."""
    return lambda value, around: None if value is None else read(value, around)


def choice(*choices: str) -> Reader[str]:
    """Make a reader that takes one of these words."""

    def read(value: object, around: Around) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise WrongError(nearest(value, choices))

    return read


def flag(value: object, around: Around) -> bool:
    """Read True or False."""
    if not isinstance(value, bool):
        raise WrongError
    return value


def names(value: object, around: Around) -> frozenset[str]:
    """Read a list of names."""
    # A lone string is a sequence of letters: the mistake is common, and silent if it is let in.
    if not isinstance(value, list | tuple | set | frozenset) or not all(map(_is_name, value)):
        raise WrongError
    return frozenset(value)


def name_lists(value: object, around: Around) -> Mapping[str, tuple[str, ...]]:
    """Read a dict of names, each with a list of names."""
    if not isinstance(value, Mapping) or not all(map(_is_name, value)):
        raise WrongError
    return MappingProxyType(
        {name: tuple(sorted(names(listed, around))) for name, listed in value.items()}
    )


def databases(value: object, around: Around) -> frozenset[str]:
    """Read a list of aliases of ``DATABASES``."""
    found = names(value, around)
    for name in sorted(found):
        if name not in around.databases:
            raise WrongError(
                nearest(name, around.databases),
                f"None or a list of aliases of DATABASES, and {name!r} is none",
            )
    return found


@dataclass(frozen=True, slots=True)
class Replica:
    """A database that follows another one.

    Args:
        of: alias of the database that it follows.
        max_lag: how far it is behind at most, in ms.
    """

    of: str
    max_lag: int


def replicas(value: object, around: Around) -> Mapping[str, Replica]:
    """Read a dict of aliases, each with the alias that it follows and the most it lags behind."""
    if not isinstance(value, Mapping):
        raise WrongError
    for alias, options in value.items():
        _known_alias(alias, around)
        if not isinstance(options, Mapping):
            raise WrongError
        for option in options:
            if option not in ("of", "max_lag"):
                raise WrongError(
                    nearest(option, ("of", "max_lag")),
                    f"a dict whose entries have 'of' and 'max_lag', and {option!r} is neither",
                )
        of = options.get("of")
        _known_alias(of, around)
        if of == alias or of in value:
            raise WrongError(
                None, f"a dict of replicas and what they follow, and {of!r} is a replica itself"
            )
    seconds = number(0, 7 * 86400, open_low=True)
    return MappingProxyType(
        {
            alias: Replica(options["of"], round(seconds(options.get("max_lag"), around) * 1000))
            for alias, options in value.items()
        }
    )


def _known_alias(alias: object, around: Around) -> None:
    if not isinstance(alias, str) or alias not in around.databases:
        raise WrongError(
            nearest(alias, around.databases),
            f"a dict of aliases of DATABASES, and {alias!r} is none",
        )


def prefix(value: object, around: Around) -> str:
    """Read what keys of a store begin with."""
    if not isinstance(value, str) or re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", value) is None:
        raise WrongError
    return value


def store(value: object, around: Around) -> str:
    """Read an alias of ``CACHES`` or a URL whose scheme is known."""
    if not isinstance(value, str):
        raise WrongError
    scheme, is_url, _ = value.partition("://")
    if is_url and scheme.lower() not in SCHEMES:
        raise WrongError(
            nearest(scheme, SCHEMES),
            f"a URL with one of the schemes {', '.join(SCHEMES)}",
            UNKNOWN_SCHEME,
        )
    if not is_url and value not in around.caches:
        raise WrongError(nearest(value, around.caches))
    return value


def context(value: object, around: Around) -> Callable[[Any], object] | str:
    """Read a callable or the dotted path of one."""
    if callable(value):
        function: Callable[[Any], object] = value
        return function
    if isinstance(value, str) and "." in value and all(map(str.isidentifier, value.split("."))):
        return value
    raise WrongError


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name != "" and name == name.strip()
