"""Signals of querycache."""

from __future__ import annotations

from django.dispatch import Signal

#: Sent after tables were written and their stamps have changed: after the commit, or after the
#: statement in autocommit. Arguments: `using` (alias) and `tables` (frozenset of names; ``{"*"}``
#: when every table was invalidated). The connection is in autocommit again, and hooks of
#: `transaction.on_commit` run later. An error of a receiver is logged by Django and ends there.
invalidated = Signal()
