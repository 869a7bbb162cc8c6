"""Makes and fills the shop, and tells what runs here."""

from __future__ import annotations

import contextlib
import gc
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.work.base import Work

PACKAGES = (
    *("Django", "django-cachalot", "django-cacheops", "django-cachex", "gunicorn", "lmdb"),
    *("msgspec", "mysqlclient", "psycopg", "pymemcache", "redis", "xxhash"),
)


class Shop(Work):
    """The database of a contender."""

    def fill(self) -> dict[str, Any]:
        """Make every table and all rows, with what the pages need too."""
        from django.core.management import call_command
        from django.db import connection

        from benchmarks.shop.login import log_in
        from benchmarks.shop.stock import fill

        call_command("migrate", run_syncdb=True, verbosity=0)
        log_in()
        fill()
        connection.close()
        return {}

    def open(self) -> dict[str, Any]:
        """Connect, and put aside what is there already; tell versions."""
        self.bench.watch()
        gc.collect()
        gc.freeze()
        return {"versions": self._versions()}

    def _versions(self) -> dict[str, str]:
        from django.db import connection

        found = {}
        for package in PACKAGES:
            with contextlib.suppress(PackageNotFoundError):
                found[package] = version(package)
        question = (
            "SELECT sqlite_version()" if connection.vendor == "sqlite" else "SELECT version()"
        )
        with connection.cursor() as cursor:
            cursor.execute(question)
            # "PostgreSQL 15.18 (Debian …) on …", "10.11.14-MariaDB-0+deb12u2"
            answer = cursor.fetchone()[0].removeprefix("PostgreSQL ")
        name = "MariaDB" if connection.vendor == "mysql" else connection.display_name
        found[name] = answer.split(" ")[0].split("-")[0]
        if self.bench.store.startswith("redis://"):
            import redis

            with redis.Redis.from_url(self.bench.store) as client:
                found["Redis server"] = client.info("server")["redis_version"]
        elif self.bench.store.startswith("memcached://"):
            from pymemcache.client.base import Client

            client = Client(self.bench.store.removeprefix("memcached://"))
            found["memcached"] = client.version().decode()
            client.close()
        return found
