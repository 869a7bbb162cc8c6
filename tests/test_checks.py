"""The system checks, each with the settings that it is there for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import django
import pytest
from django.conf import settings
from django.core import checks as django_checks
from django.test.utils import override_settings

from querycache import checks, conf

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        SECRET_KEY="only for tests",
    )
    django.setup()

LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
DUMMY = "django.core.cache.backends.dummy.DummyCache"
REDIS = "django.core.cache.backends.redis.RedisCache"
ALL = [
    checks.check_settings,
    checks.check_secret_key,
    checks.check_context,
    checks.check_names,
    checks.check_near,
    checks.check_store,
    checks.check_reach,
]


#: What the memory store, which most tests name since it needs nothing else, is always told.
REACH = "querycache.W011"


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    with override_settings(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        CACHES={"default": {"BACKEND": LOCMEM}, "none": {"BACKEND": DUMMY}},
        SECRET_KEY="x" * 50,
    ):
        yield


def run(**querycache: Any) -> list[django_checks.CheckMessage]:
    with override_settings(QUERYCACHE=querycache):
        return [message for check in ALL for message in check(None)]


def ids(**querycache: Any) -> list[str]:
    return [(message.id or "").removeprefix("querycache.") for message in run(**querycache)]


def only(**querycache: Any) -> django_checks.CheckMessage:
    messages = [one for one in run(STORE="memory://", **querycache) if one.id != REACH]
    assert len(messages) == 1, messages
    return messages[0]


def text(message: django_checks.CheckMessage) -> str:
    return f"{message.msg} {message.hint}"


def test_nothing_wrong() -> None:
    names = ["auth", "auth.User", "auth.user", "auth_user_groups"]
    assert ids(STORE="memory://", EXCLUDE=names, ONLY=names) == ["W011"]


def test_without_the_setting() -> None:
    with override_settings():
        if hasattr(settings, "QUERYCACHE"):
            delattr(settings, "QUERYCACHE")
        assert [m.id for check in ALL for m in check(None)] == ["querycache.W010"]


def test_unknown_key() -> None:
    message = only(EXCLUDES=["auth"])
    assert (message.id, message.level) == ("querycache.E001", django_checks.ERROR)
    assert "'EXCLUDES'" in text(message)
    assert "'EXCLUDE'?" in text(message)


def test_wrong_value() -> None:
    message = only(MODE="of")
    assert (message.id, message.level) == ("querycache.E002", django_checks.ERROR)
    assert "'off'?" in text(message)


def test_wrong_settings_are_reported_once_and_stop_the_other_checks() -> None:
    assert ids(STORE="nothing", EXCLUDE=["nowhere"], CONTEXT="no.where") == ["E002"]
    assert ids(STORE="ftp://host", EXCLUDE=["nowhere"]) == ["E004"]


def test_empty_secret_key() -> None:
    with override_settings(SECRET_KEY=""):
        assert only().id == "querycache.E003"
        assert ids(MODE="off") == []


@pytest.mark.parametrize("path", ["no.where", "django.VERSION"])
def test_context(path: str) -> None:
    message = only(CONTEXT=path)
    assert message.id == "querycache.E006"
    assert path.rpartition(".")[0] in text(message)


@pytest.mark.parametrize("key", ["EXCLUDE", "ONLY"])
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("atuh", "'auth'"),
        ("auth.Usr", "'auth.User'"),
        ("auth_usr", "'auth_user'"),
        ("AUTH", "'auth'"),
        ("zzzzzz", None),
    ],
)
def test_name_that_matches_nothing(key: str, name: str, near: str | None) -> None:
    message = only(**{key: [name, "auth.group"]})
    assert (message.id, message.level) == ("querycache.W001", django_checks.WARNING)
    assert f"{key}: {name!r}" in text(message)
    assert ("Did you mean" in text(message)) == (near is not None)
    assert near is None or near in text(message)


@pytest.mark.parametrize(
    "querycache",
    [
        {"DEPENDS": {"user_report": ["auth_user", "auth_gruop"]}},
        {"TRIGGERS": {"auth_user": ["auth_gruop"]}},
        {"TRIGGERS": {"auth_gruop": ["auth_user"]}},
    ],
)
def test_table_that_no_model_has(querycache: dict[str, Any]) -> None:
    message = only(**querycache)
    assert (message.id, message.level) == ("querycache.W002", django_checks.WARNING)
    assert "'auth_group'" in text(message)


def test_model_where_a_table_is_meant() -> None:
    hint = only(DEPENDS={"report": ["auth.Permission"]}).hint or ""
    # Other tables have similar names; this one is certain.
    assert hint.startswith("Did you mean 'auth_permission'?")


def test_lease_must_outlast_the_timeout() -> None:
    assert only(LEASE=2, TIMEOUT=2).id == "querycache.W003"
    assert ids(STORE="memory://", LEASE=2, TIMEOUT=1.9) == ["W011"]


def test_only_redis_tells_of_changes() -> None:
    assert only(NEAR="push").id == "querycache.W004"
    assert only(NEAR="push").hint
    assert ids(STORE="redis://localhost", NEAR="push") == []
    assert ids(STORE="memory://", NEAR="checked") == ["W011"]


def test_store_whose_client_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf, "find_spec", lambda name: None)
    messages = run(STORE="redis://localhost")
    assert [message.id for message in messages] == ["querycache.E005"]
    assert "querycache[redis]" in text(messages[0])


@pytest.mark.parametrize("store", ["memory://host", "memory://?sise=1mb", "memory://?size=much"])
def test_store_whose_url_makes_no_sense(store: str) -> None:
    assert "E005" in ids(STORE=store)


def test_store_without_backend() -> None:
    with override_settings(CACHES={"default": {"BACKEND": "no.where.Cache"}}):
        assert ids() == ["E005"]


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("default", ["W010"]),
        ("lmdb:///nowhere/querycache-test", ["W010"]),
        ("memory://", ["W011"]),
        ("redis://localhost", []),
        ("none", []),
    ],
)
def test_reach(store: str, expected: list[str]) -> None:
    assert ids(STORE=store) == expected


def test_off_asks_for_nothing_but_right_settings() -> None:
    assert ids(MODE="off", STORE="memory://", EXCLUDE=["nowhere"], CONTEXT="no.where") == []
    assert ids(MODE="off", VERIFY=2) == ["E002"]


def test_no_check_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> NoReturn:
        raise AssertionError("a check has connected")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(AssertionError), socket.create_connection(("127.0.0.1", 9)):
        pass
    for store in ("redis://localhost", "unix:///x", "memcached://localhost:1", "valkey://h"):
        assert ids(STORE=store) == []
    with override_settings(
        CACHES={"default": {"BACKEND": REDIS, "LOCATION": "redis://localhost:1"}}
    ):
        assert ids() == []


def test_checks_are_light_to_import() -> None:
    code = (
        "import sys, querycache; before = {*sys.modules}; import querycache.checks;"
        "print({m.partition('.')[0] for m in {*sys.modules} - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(eval(done.stdout))
    assert "querycache" in loaded
    heavy = {"lmdb", "redis", "pymemcache", "valkey", "xxhash", "msgspec", "msgpack", "ormsgpack"}
    assert loaded.isdisjoint(heavy)


@pytest.mark.parametrize(
    ("arguments", "found", "code"),
    [
        ([], {"W001"}, 0),
        (["--tag", "caches"], {"W001"}, 0),
        (["--tag", "querycache", "--deploy"], {"W001", "W010"}, 0),
        (["--tag", "querycache", "--fail-level", "WARNING"], {"W001"}, 1),
        (["--tag", "models"], set(), 0),
    ],
)
def test_django_runs_them(arguments: list[str], found: set[str], code: int, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "apps.py").write_text(
        "from django.apps import AppConfig\n"
        "from querycache import check_registry\n"
        "class Shop(AppConfig):\n"
        "    name = 'shop'\n"
        "    def ready(self):\n"
        "        check_registry.register()\n"
        "        check_registry.register()\n"
    )
    (tmp_path / "shop_settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['shop']\nQUERYCACHE = {'EXCLUDE': ['shpo']}\n"
    )
    root = Path(checks.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "django", "check", *arguments],
        cwd=tmp_path,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "shop_settings",
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    output = done.stdout + done.stderr
    for one in ("W001", "W010", "E001"):
        assert output.count(f"querycache.{one})") == (one in found), output
