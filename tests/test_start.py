"""Starting: what a process does before its first query, which is next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

# Runs in a fresh process: sets Django up, has the settings checked, and tells what was touched.
STARTED = """
import json, sys

touched = []

def hook(event, args):
    if event == "socket.connect":
        touched.append(f"connects to {args[1]}")
    elif event == "os.mkdir" or (event == "open" and "querycache-start" in str(args[0])):
        touched.append(f"{event} {args[0]}")

sys.addaudithook(hook)
database, store = sys.argv[1:3]

from django.conf import settings

settings.configure(
    SECRET_KEY="x" * 50,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "querycache"],
    DATABASES={"default": json.loads(database)},
    QUERYCACHE={"STORE": store},
)
import django

django.setup()
imported = sorted(name for name in sys.modules if name.partition(".")[0] in sys.argv[3:])
touched_by_setup = list(touched)

from django.core import checks

found = [message.id for message in checks.run_checks()]
print(json.dumps([touched_by_setup, touched, imported, found]))
"""

#: All that is imported before the first query, whatever the store: what reads the settings, and
#: what stands in Django's classes until then.
LIGHT = {
    "querycache",
    "querycache.apps",
    "querycache.check_registry",
    "querycache.checks",
    "querycache.conf",
    "querycache.install",
    "querycache.models",
    "querycache.runtime",
    "querycache.seams",
    "querycache.stamps",
    "querycache.stores",
    "querycache.stores.base",
    "querycache.stores.places",
    "querycache.stores.urls",
    "querycache.values",
}

#: What the first query brings along, for some store or database.
HEAVY = ("lmdb", "msgspec", "xxhash", "redis", "pymemcache", "psycopg", "psycopg2", "MySQLdb")

STORES = {
    "memory": "memory://",
    "lmdb": "lmdb://{folder}/querycache-start",
    "redis": "redis://127.0.0.1:1/0",
    "memcached": "memcached://127.0.0.1:1,127.0.0.1:2",
    "sentinel": "redis+sentinel://127.0.0.1:1/service/0",
    "cluster": "redis+cluster://127.0.0.1:1",
}
DATABASES: dict[str, dict[str, Any]] = {
    "sqlite": {"ENGINE": "django.db.backends.sqlite3", "NAME": "{folder}/querycache-start.db"},
    "postgresql": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "querycache-start",
        "HOST": "127.0.0.1",
        "PORT": "1",
    },
}


def answer_of(*arguments: str) -> Any:
    """Run a new interpreter and return what it prints, which is JSON."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("database", DATABASES)
def test_nothing_is_touched_before_the_first_query(
    tmp_path: Path, database: str, store: str
) -> None:
    settings = json.dumps(DATABASES[database]).replace("{folder}", str(tmp_path))
    url = STORES[store].replace("{folder}", str(tmp_path))
    arguments = ("-c", STARTED, settings, url, "querycache", *HEAVY)
    by_setup, touched, imported, found = answer_of(*arguments)
    assert by_setup == []
    # Nor by the checks that every command runs.
    assert touched == []
    assert found == []
    assert list(tmp_path.iterdir()) == []
    # Django itself imports the driver of its database.
    drivers = () if database == "sqlite" else ("psycopg", "psycopg2")
    assert {name for name in imported if name.partition(".")[0] not in drivers} == LIGHT


def test_whatever_comes_first_installs_the_cache(tmp_path: Path) -> None:
    found = answer_of("-m", "tests.first_uses", str(tmp_path))
    assert len(found) > 10
    assert found == dict.fromkeys(found, "")
