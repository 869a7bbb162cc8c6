"""Template tag: ``{% load querycache %}``."""

from __future__ import annotations

import datetime

from django import template

from querycache.api import last_write as _last_write

register = template.Library()


@register.simple_tag
def last_write(*targets: str, using: str | None = None) -> datetime.datetime | None:
    """Return when tables were last written, for the keys of cached fragments.

    ``{% last_write "shop.Book" "auth" as written %}{% cache None "books" written.timestamp %}``

    Takes app labels, ``"app.Model"`` or table names, none for everything, and ``using=`` with the
    alias of a database, all of them by default.
    """
    # No sections of arguments here: admindocs shows this text as reStructuredText.
    return _last_write(*targets, using=using)
