"""The first use of a database, in a fresh process: ``python -m tests.first_uses folder``.

Each is made in a forked child of one process that has done nothing but set Django up. Tells, as
JSON, what went wrong with each: an empty text, nothing.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import django
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.test import override_settings

import querycache

FOLDER = sys.argv[1]
INSERT = "INSERT INTO django_content_type (app_label, model) VALUES ('a', 'b')"


def start() -> CursorWrapper:
    """Set Django up, and return a cursor that was open before."""
    settings.configure(
        SECRET_KEY="x" * 50,
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.contenttypes", "querycache"],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/start.db"}
        },
        QUERYCACHE={"STORE": "memory://"},
    )
    # Django advises against queries at this time.
    warnings.simplefilter("ignore", RuntimeWarning)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE django_content_type"
            " (id integer PRIMARY KEY, app_label varchar(100), model varchar(100))"
        )
    early = connection.cursor()
    django.setup()
    return early


EARLY = start()

from django.contrib.contenttypes.models import ContentType  # noqa: E402 - Django is set up first

from querycache import opening, seams  # noqa: E402
from querycache.runtime import runtime  # noqa: E402


def read() -> int:
    return len(ContentType.objects.all())


def rows() -> int:
    """Count what another program finds."""
    with closing(sqlite3.connect(f"{FOLDER}/start.db")) as other:
        found: int = other.execute("SELECT count(*) FROM django_content_type").fetchone()[0]
    return found


def assert_serves() -> None:
    assert read() == read()
    assert querycache.stats().hits == 1, querycache.stats()


def assert_counted(writes: int = 1) -> None:
    assert querycache.stats().invalidations == writes, querycache.stats()


def a_query() -> None:
    assert_serves()


def a_transaction() -> None:
    with transaction.atomic():
        pass
    assert_serves()


def a_raw_write() -> None:
    EARLY.execute(INSERT)
    assert_counted()


def raw_writes() -> None:
    EARLY.executemany(INSERT.replace("'a'", "%s"), [("a",), ("b",)])
    assert_counted()


def a_script() -> None:
    EARLY.executescript(INSERT)
    assert_counted()


def a_transaction_by_hand() -> None:
    connection.set_autocommit(False)
    EARLY.execute(INSERT)
    connection.rollback()
    connection.set_autocommit(True)
    assert read() == rows()


def a_close() -> None:
    EARLY.close()
    connection.close()
    assert_serves()


def a_public_name() -> None:
    querycache.invalidate("contenttypes.ContentType")
    assert_counted()


def a_look_at_the_class() -> None:
    # As programs do that put something of their own around a method.
    original = BaseDatabaseWrapper.connect
    assert original is vars(BaseDatabaseWrapper)["connect"]
    assert_serves()


def a_mock() -> None:
    kept = vars(CursorWrapper)["_execute"]
    with (
        mock.patch.object(CursorWrapper, "_execute", side_effect=ValueError("mocked")),
        pytest.raises(ValueError, match="mocked"),
    ):
        read()
    # What was kept meanwhile is back, and is no hole.
    assert vars(CursorWrapper)["_execute"] is kept
    EARLY.execute(INSERT)
    assert_counted()
    assert vars(CursorWrapper)["_execute"] is not kept


def assert_refused(value: Any, named: str) -> None:
    with override_settings(QUERYCACHE=value):
        for _ in range(2):
            with pytest.raises(ImproperlyConfigured, match=named):
                read()
        assert runtime.current is None


def a_wrong_key() -> None:
    assert_refused({"STOR": "memory://"}, "STOR")


def a_wrong_store() -> None:
    assert_refused({"STORE": f"lmdb://{FOLDER}/small?size=1kb"}, "4 MB")


def other_settings() -> None:
    with override_settings(QUERYCACHE={"STORE": "memory://", "EXCLUDE": ["contenttypes"]}):
        assert read() == read()
        assert querycache.stats().hits == 0
    assert_serves()


def a_query_of_the_context() -> None:
    Path(FOLDER, "tenants.py").write_text(
        "from django.contrib.contenttypes.models import ContentType\n"
        "FOUND = list(ContentType.objects.all())\n"
        "def current(connection): return len(FOUND)\n"
    )
    sys.path.insert(0, FOLDER)
    with override_settings(QUERYCACHE={"STORE": "memory://", "CONTEXT": "tenants.current"}):
        assert_serves()


def mode_off() -> None:
    with override_settings(QUERYCACHE={"MODE": "off"}):
        assert read() == read()
        assert runtime.current is None
    assert_serves()


def threads() -> None:
    barrier = threading.Barrier(4)
    made: list[object] = []

    def first() -> None:
        barrier.wait()
        made.append(runtime.current)

    started = [threading.Thread(target=first) for _ in range(4)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert len(made) == 4
    assert {*made} == {runtime.current} != {None}


def a_fork_in_the_middle_of_it() -> None:
    inside, over = threading.Event(), threading.Event()
    make, parent = opening.make, os.getpid()

    def held(config: Any) -> Any:
        if os.getpid() == parent:
            inside.set()
            over.wait()
        return make(config)

    vars(opening)["make"] = held
    thread = threading.Thread(target=runtime.ready)
    thread.start()
    inside.wait()
    # Python warns of it, and rightly.
    warnings.simplefilter("ignore", DeprecationWarning)
    wrong = in_child(a_query)
    over.set()
    thread.join()
    assert not wrong, wrong


USES: tuple[Callable[[], None], ...] = (
    a_query, a_transaction, a_raw_write, raw_writes, a_script, a_transaction_by_hand, a_close,
    a_public_name, a_look_at_the_class, a_mock, a_wrong_key, a_wrong_store, other_settings,
    a_query_of_the_context, mode_off, threads, a_fork_in_the_middle_of_it,
)  # fmt: skip


def in_child(use: Callable[[], None]) -> str:
    """Return what went wrong."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            use()
        except BaseException:  # noqa: BLE001 - told to the parent
            os.write(writing, traceback.format_exc().encode()[-4000:])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found = pipe.read()
    os.waitpid(child, 0)
    return found


def main() -> None:
    for owner, name in seams.places():
        standing = vars(owner)[name]
        assert isinstance(standing, seams.First), f"{name} is in place before the first use"
    json.dump({use.__name__: in_child(use) for use in USES}, sys.stdout)


if __name__ == "__main__":
    main()
