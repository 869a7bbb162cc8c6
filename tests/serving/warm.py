"""A WSGI application that has used the cache before its server forks."""

from __future__ import annotations

from django.db import connections

from tests.serving.wsgi import application

__all__ = ["application"]


def _warm() -> None:
    # Models can be imported once the application has been made.
    from tests.serving import registers

    registers.write(0, 0)
    registers.read()
    registers.read()
    # A connection of the database cannot be shared by processes; the cache sorts its own out.
    connections.close_all()


_warm()
