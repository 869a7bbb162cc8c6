"""`manage.py querycache`: look at the cache, invalidate, explain a query, advise."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldError, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from querycache import advice, journal
from querycache.api import invalidate
from querycache.cache import FAILURES, QueryCache
from querycache.catalogue import describe
from querycache.conf import shown_store
from querycache.eviction import concern
from querycache.explanation import explain
from querycache.runtime import runtime
from querycache.serving import Serving, trouble
from querycache.state import transaction_of
from querycache.stores.memory import MemoryStore
from querycache.targets import aliases

# What is printed with a line for each of its values begins so.
_ON_LINES = ("catalogue ", "written", "advice")


class Command(BaseCommand):
    """Look at querycache, invalidate what it holds, ask why a query is not cached, or advise."""

    help = "Show the state of querycache, invalidate cached results, explain a query, or advise."

    def add_arguments(self, parser: CommandParser) -> None:
        """Define the subcommands."""
        actions = parser.add_subparsers(dest="action", required=True)
        status = actions.add_parser("status", help="show the settings in use and the store")
        drop = actions.add_parser("invalidate", help="make cached results unusable")
        drop.add_argument(
            "targets", nargs="*", help="app, app.Model or table; none means everything"
        )
        drop.add_argument("--using", help="alias of the database; default: all of them")
        anew = actions.add_parser("refresh", help="read the databases' catalogues anew, everywhere")
        anew.add_argument("--using", help="alias of the database; default: all of them")
        why = actions.add_parser("explain", help="tell whether a query is cached, or why not")
        why.add_argument("model", help="app.Model")
        why.add_argument("lookups", nargs="*", help="field=value, as filter() takes them")
        why.add_argument("--using", default=DEFAULT_DB_ALIAS, help="alias of the database")
        why.add_argument("--order-by", nargs="*", default=[], help="fields to order by")
        why.add_argument("--limit", type=int, help="the first so many rows")
        advise = actions.add_parser("advise", help="watch what is written, and say what to change")
        advise.add_argument("--seconds", type=float, default=10.0, help="for how long; default: 10")
        advise.add_argument("--using", help="alias of the database; default: all that are cached")
        adopt = actions.add_parser("adopt", help="have this store serve a database from now on")
        adopt.add_argument("--using", help="alias of the database; default: all that are cached")
        for action in (status, drop, anew, why, advise, adopt):
            action.add_argument("--json", action="store_true", help="print JSON for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run a subcommand.

        Raises:
            CommandError: nothing is installed, the store does not answer, or a name is unknown.
        """
        runtime.ready()
        if runtime.refusal is not None:
            raise CommandError(runtime.refusal)
        data: dict[str, Any] = getattr(self, f"_{options['action']}")(options)
        if options["json"]:
            self.stdout.write(json.dumps(data, default=str))
            return
        for name, value in data.items():
            between = f"\n{'':16}" if name.startswith(_ON_LINES) else ", "
            text = between.join(map(str, value)) if isinstance(value, list | tuple) else value
            self.stdout.write(f"{name.replace('_', ' '):>14}  {text}")

    def _status(self, options: dict[str, Any]) -> dict[str, Any]:
        installed = runtime.current
        if installed is None:
            return {"mode": "off"}
        cache = installed.cache
        databases: dict[str, Any] = {}
        for connection in connections.all():
            if installed.serves(connection):
                # First, since connecting may give the database its name.
                found = _catalogue(connection)
                identity = transaction_of(connection).database.identity
                databases |= {f"database {connection.alias}": identity, **found}
                databases[f"served by {connection.alias}"] = _server(connection)
        try:
            info = cache.store.info()
        except FAILURES as error:
            raise _unusable(cache, error) from error
        data: dict[str, Any] = {
            "mode": cache.config.mode,
            "consistency": cache.config.consistency,
            "store": info.name,
            "version": info.version,
            "key_prefix": cache.config.key_prefix,
        }
        for name in ("entries", "used", "limit"):
            if (value := getattr(info, name)) is not None:
                data[name] = value
        data |= info.details
        if (concerned := concern(info, cache.config.ttl)) is not None:
            data["warning"] = f"{concerned.text} {concerned.hint}"
        return data | databases

    def _adopt(self, options: dict[str, Any]) -> dict[str, Any]:
        installed = runtime.current
        if installed is None:
            raise CommandError("querycache is off, so it has no store")
        try:
            chosen = aliases(options["using"])
        except LookupError as error:
            raise CommandError(str(error)) from error
        data = {"store": installed.cache.claim.label}
        for alias in chosen:
            connection = connections[alias]
            state = transaction_of(connection)
            if state.database.watch.private or not (installed.serves(connection)):
                continue
            try:
                before = state.database.watch.served.take(connection)
            except trouble(connection) as error:
                raise CommandError(f"{alias}: {error}") from error
            data[f"before {alias}"] = "none" if before is None else before.label
        return data

    def _invalidate(self, options: dict[str, Any]) -> dict[str, Any]:
        self._invalidate_now(options["targets"], options["using"])
        return {"invalidated": options["targets"] or ["everything"]}

    def _refresh(self, options: dict[str, Any]) -> dict[str, Any]:
        # Every process that sees the new stamp of a database reads its catalogue anew.
        self._invalidate_now([], options["using"])
        data: dict[str, Any] = {"refreshed": aliases(options["using"])}
        for alias in data["refreshed"]:
            data |= _catalogue(connections[alias])
        return data

    def _invalidate_now(self, targets: list[str], using: str | None) -> None:
        installed = runtime.current
        if installed is None:
            raise CommandError("querycache is off, there is nothing to invalidate")
        try:
            invalidate(*targets, using=using)
        except LookupError as error:
            raise CommandError(str(error)) from error
        if installed.cache.breaker.down:
            raise CommandError(f"the store {shown_store(installed.cache.config)} did not answer")

    def _advise(self, options: dict[str, Any]) -> dict[str, Any]:
        installed = runtime.current
        if installed is None:
            raise CommandError("querycache is off, so there is nothing to advise on")
        cache, seconds = installed.cache, options["seconds"]
        if not 0 < seconds < math.inf:
            raise CommandError(f"--seconds must be more than 0, not {seconds}")
        if isinstance(cache.store, MemoryStore):
            raise CommandError("the memory store is of one process, which sees no other's writes")
        data: dict[str, Any] = {}
        tables: list[advice.Observed] = []
        try:
            # Aliases may stand for one database.
            databases = set()
            for alias in aliases(options["using"]):
                database = transaction_of(connections[alias]).database
                if installed.serves(connections[alias]) and not database.watch.private:
                    data[f"served by {alias}"] = _server(connections[alias])
                    if database not in databases:
                        databases.add(database)
                        tables += advice.tables_of(alias, database, installed.selection)
            looks = advice.observe(cache.store, tables, seconds)
            now, info = cache.store.clock().wall, cache.store.info()
        except LookupError as error:
            raise CommandError(str(error)) from error
        except FAILURES as error:
            raise _unusable(cache, error) from error
        seen = [table.written for table in tables]
        found = advice.of_tables(seen, seconds, looks, now) + advice.of_store(info)
        if (concerned := concern(info, cache.config.ttl)) is not None:
            found.append(f"{concerned.text} {concerned.hint}")
        written = sorted((one for one in seen if one.writes), key=lambda one: -one.writes)
        data |= {"seconds": seconds, "looks": looks}
        if options["json"]:
            return data | {"written": [*map(dataclasses.asdict, written)], "advice": found}
        lines = [f"{one.table} {one.writes} times, any row {one.whole} times" for one in written]
        return data | {"written": lines or ["nothing"], "advice": found or ["nothing to change"]}

    def _explain(self, options: dict[str, Any]) -> dict[str, Any]:
        if options["model"].count(".") != 1:
            raise CommandError(f"{options['model']!r} is not of the form app.Model")
        try:
            model = apps.get_model(options["model"])
            aliases(options["using"])
        except LookupError as error:
            raise CommandError(str(error)) from error
        lookups = {}
        for lookup in options["lookups"]:
            name, equals, value = lookup.partition("=")
            if not equals:
                raise CommandError(f"{lookup!r} is not of the form field=value")
            lookups[name] = value
        try:
            queryset = model._default_manager.using(options["using"]).filter(**lookups)
            queryset = queryset.order_by(*options["order_by"]) if options["order_by"] else queryset
            found = explain(queryset[: options["limit"]])
        except (FieldError, ValidationError, ValueError, TypeError) as error:
            raise CommandError(f"there is no such query: {error}") from error
        return {
            name: value for name, value in dataclasses.asdict(found).items() if value is not None
        }


def _unusable(cache: QueryCache, error: Exception) -> CommandError:
    return CommandError(f"the store {shown_store(cache.config)} cannot be used: {error}")


def _catalogue(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """Return what the database does by itself, in words."""
    transaction = transaction_of(connection)
    try:
        knowledge = transaction.database.known(transaction)
    except journal.errors(connection):
        knowledge = None
    found = ["could not be read"] if knowledge is None else describe(knowledge.catalogue)
    return {f"catalogue {connection.alias}": found or ["nothing but plain tables"]}


def _server(connection: BaseDatabaseWrapper) -> str:
    """Say which store a database names."""
    watch = transaction_of(connection).database.watch
    if watch.private:
        return "this process alone"
    try:
        named, serving = watch.served.ask(connection)
    except trouble(connection) as error:
        return f"not known ({error})"
    if named is None:
        return "none yet"
    return named.label if serving is not Serving.OTHER else f"ANOTHER STORE: {named.label}"
