"""Asking a database for its catalogue."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from querycache.catalogue import mariadb, postgresql, sqlite
from querycache.catalogue.facts import DELETE, Action, Code, Facts
from querycache.questions import question
from querycache.relations import database_cascades

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("querycache.catalogue")

_READERS = {"postgresql": postgresql.read, "mysql": mariadb.read, "sqlite": sqlite.read}


def read_facts(connection: BaseDatabaseWrapper) -> Facts | None:
    """Read the catalogue of a connection's database.

    Args:
        connection: asked through the driver, so that nothing shows up in Django's query log.

    Returns:
        None when the database could not be asked just now. What is known of a database of another
        vendor is what models say.
    """
    read = _READERS.get(connection.vendor)
    if read is None:
        return _facts_of_models()
    if connection.needs_rollback:
        return None
    try:
        with question(connection) as cursor:
            return read(cursor, str(connection.settings_dict.get("NAME") or ""))
    except connection.Database.Error as error:  # type: ignore[attr-defined]
        logger.warning("the catalogue of %s could not be read: %s", connection.alias, error)
        return None


def _facts_of_models() -> Facts:
    facts = Facts()
    for parent, children in database_cascades().items():
        code = Code(frozenset((child, DELETE) for child in children))
        facts.actions[parent].append(Action("foreign key", parent, frozenset({DELETE}), code))
    return facts
