"""What a query shape is."""

from __future__ import annotations

from dataclasses import dataclass

from tests.shapes.dataset import Build

ALL = frozenset(("sqlite", "postgresql", "mysql"))


@dataclass(frozen=True)
class Shape:
    """One way to ask.

    Args:
        name: for people.
        build: asks; a queryset it returns is iterated over.
        vendors: databases that can answer it.
    """

    name: str
    build: Build
    vendors: frozenset[str] = ALL


def shapes(vendors: frozenset[str] = ALL, /, **builds: Build) -> list[Shape]:
    """Make shapes of named lambdas."""
    return [Shape(name, build, vendors) for name, build in builds.items()]
