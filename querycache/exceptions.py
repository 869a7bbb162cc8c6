"""Exceptions that callers may catch."""

from __future__ import annotations

from django.db import OperationalError


class StoreUnavailable(OperationalError):
    """A write was refused since the store could not be told of it (`ON_STORE_FAILURE = "raise"`).

    It is a database error, so that Django rolls the transaction back.
    """


class StaleHit(AssertionError):
    """`VERIFY` found a hit that differs from the database (raised where `VERIFY_RAISES`)."""
