"""Settings that are wrong are refused by the first query, and told of by checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections
from django.test import override_settings

import querycache
from querycache import conf, install
from querycache.runtime import runtime
from tests.library.models import Publisher

pytestmark = pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True, ids=[""])

WRONG: dict[str, tuple[Any, str, str]] = {
    "key": ({"STOR": "memory://"}, "querycache.E001", "STOR"),
    "value": ({"STORE": "memory://", "LEASE": "long"}, "querycache.E002", "LEASE"),
    "type": (["STORE"], "querycache.E002", "a dict"),
    "scheme": ({"STORE": "memry://"}, "querycache.E004", "memry"),
    "context": ({"STORE": "memory://", "CONTEXT": "no.such.thing"}, "querycache.E006", "CONTEXT"),
    "size": ({"STORE": "lmdb:///tmp/querycache-of-tests?size=1kb"}, "querycache.E005", "4 MB"),
}


@pytest.fixture(autouse=True)
def _put_back(database: str) -> Iterator[None]:
    yield
    install.uninstall()
    runtime.refusal = None


@pytest.mark.parametrize(("value", "number", "named"), WRONG.values(), ids=WRONG)
def test_first_query_says_what_is_wrong(database: str, value: Any, number: str, named: str) -> None:
    with override_settings(QUERYCACHE=value):
        for _ in range(2):
            with pytest.raises(ImproperlyConfigured, match=named):
                list(Publisher.objects.using(database).all())
        with pytest.raises(ImproperlyConfigured, match=named):
            Publisher.objects.using(database).create(name="unseen")
        with pytest.raises(ImproperlyConfigured, match=named):
            Publisher.objects.using(database).update(name="unseen")
        with pytest.raises(ImproperlyConfigured, match=named):
            Publisher.objects.using(database).all().delete()
        assert runtime.current is None
        assert querycache.stats().hits == 0
    with connections[database].cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM library_publisher")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize(("value", "number", "named"), WRONG.values(), ids=WRONG)
def test_checks_say_the_same(database: str, value: Any, number: str, named: str) -> None:
    with override_settings(QUERYCACHE=value):
        found = [message for message in checks.run_checks() if message.id == number]
        assert len(found) == 1
        assert named in found[0].msg
        # Which is what `manage.py check` and `runserver` show, in place of a traceback.
        with pytest.raises(SystemCheckError, match=number):
            call_command("check")


def test_every_mistake_is_named_at_once(database: str) -> None:
    wrong = {"STOR": "x", "LEASE": -1, "MODE": "onn", "MAX_ROWS": 0}
    with override_settings(QUERYCACHE=wrong), pytest.raises(ImproperlyConfigured) as refusal:
        list(Publisher.objects.using(database).all())
    for name in wrong:
        assert name in str(refusal.value)
    # The nearest right names.
    assert "'STORE'" in str(refusal.value)
    assert "'on'" in str(refusal.value)


@pytest.mark.parametrize("store", ["redis://localhost:1", "memcached://localhost:1"])
def test_missing_client(database: str, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = store.partition(":")[0]
    monkeypatch.setattr(conf, "_CLIENTS", {kind: "no_such_client"})
    with override_settings(QUERYCACHE={"STORE": store}):
        with pytest.raises(ImproperlyConfigured, match=rf"pip install 'querycache\[{kind}\]'"):
            list(Publisher.objects.using(database).all())
        found = [message for message in checks.run_checks() if message.id == "querycache.E005"]
        assert len(found) == 1
        assert "no_such_client" in found[0].msg


def test_settings_that_were_mended_are_in_use_at_once(database: str) -> None:
    rows = Publisher.objects.using(database)
    with override_settings(QUERYCACHE={"STORE": "memory://", "LEASE": "long"}):
        with pytest.raises(ImproperlyConfigured):
            list(rows.all())
        with override_settings(QUERYCACHE={"STORE": "memory://"}):
            list(rows.all())
            assert querycache.explain(rows.all()).hit
        with pytest.raises(ImproperlyConfigured):
            list(rows.all())
    assert runtime.refusal is None
    list(rows.all())
