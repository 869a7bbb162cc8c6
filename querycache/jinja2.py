"""Jinja2 extension: ``last_write()`` in templates.

Put ``"querycache.jinja2.QuerycacheExtension"`` among the ``extensions`` of the environment.
"""

from __future__ import annotations

from jinja2 import Environment
from jinja2.ext import Extension

from querycache.api import last_write


class QuerycacheExtension(Extension):
    """Adds the function ``last_write(*targets, using=None)`` to an environment."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["last_write"] = last_write
