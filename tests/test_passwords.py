"""Passwords of a store are shown nowhere: not by commands, checks, logs, errors or tracebacks."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from io import StringIO
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import override_settings

import querycache
from querycache import install
from querycache.stores.base import StoreUnusable
from tests.library.models import Publisher
from tests.servers import RedisServer, required

pytestmark = pytest.mark.parametrize("database", ["sqlite_wal"], indirect=True, ids=[""])

SECRET = "hunter2"
#: A port that no server listens on.
NOBODY = "127.0.0.1:1"

URLS = [
    f"redis://:{SECRET}@{NOBODY}/0",
    f"redis://user:{SECRET}@{NOBODY}/0",
    f"rediss://user:{SECRET}@{NOBODY}/0",
    f"valkey://:{SECRET}@{NOBODY}/0",
    f"valkeys://:{SECRET}@{NOBODY}/0",
    f"unix://user:{SECRET}@/nowhere/redis.sock?db=1",
    f"redis://{NOBODY}/0?password={SECRET}",
    f"redis://{SECRET}@{NOBODY}/0",
    f"redis://:{quote('#/?@:' + SECRET)}@{NOBODY}/0",
    # A mark that ends the part with the password, or begins another.
    *(f"redis://:{SECRET}{mark}{SECRET}@{NOBODY}/0" for mark in "#?/@:[]%"),
    *(f"redis://user:1{mark}{SECRET}@{NOBODY}/0" for mark in "#?/@:[]%"),
    f"redis://:{SECRET}@host:port/0",
    f"redis://:{SECRET}@host:1/database",
    f"redis://:{SECRET}@host:1/0?socket_timeout={SECRET}",
    f"rediz://:{SECRET}@host/0",
    f"{SECRET}@host",
    *(
        f"redis+{kind}://user:{SECRET}{mark}{SECRET}@{NOBODY}{path}"
        for kind, path in (("cluster", ""), ("sentinel", "/service/0"))
        for mark in ("", *"#?/@:[],%")
    ),
    f"redis+sentinel://{NOBODY}/service?sentinel_password={SECRET}",
    f"redis+sentinel://{NOBODY}/service?sentinel_passwort={SECRET}",
    f"memcached://user:{SECRET}@{NOBODY}",
    f"memcached://{SECRET}@{NOBODY}",
    f"memcached://user:a,{SECRET},b@{NOBODY}",
    f"memory://user:{SECRET}@host",
    f"lmdb://user:{SECRET}@host/path",
]


class Told:
    """Everything that was said to anybody.

    Args:
        caplog: with what was logged.
    """

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        self._caplog = caplog
        self._parts: list[str] = []

    def run(self, *command: str) -> None:
        """Run a command of Django."""
        out, err = StringIO(), StringIO()
        try:
            call_command(*command, stdout=out, stderr=err)
        except (CommandError, ImproperlyConfigured) as error:
            self.error(error)
        self._parts += out.getvalue(), err.getvalue()

    def error(self, error: BaseException) -> None:
        """Note an error and what it came from."""
        # The lines of the source, in which the tests' own constants may be.
        shown = traceback.TracebackException.from_exception(error)
        self._parts.append("".join(_messages(shown)))

    @property
    def text(self) -> str:
        logged = [record.getMessage() for record in self._caplog.records]
        return "\n".join([*self._parts, *logged])


def _messages(shown: traceback.TracebackException | None) -> Iterator[str]:
    if shown is not None:
        yield from shown.format_exception_only()
        yield from _messages(shown.__cause__)
        if not shown.__suppress_context__:
            yield from _messages(shown.__context__)


def use(told: Told, alias: str) -> None:
    """Do what pages and people do."""
    try:
        install.install()
        list(Publisher.objects.using(alias).all())
        Publisher.objects.using(alias).create(name="one")
        told._parts += map(str, [querycache.explain(Publisher.objects.using(alias).all())])
    except (ImproperlyConfigured, StoreUnusable) as error:
        told.error(error)
    told._parts += [str(message) for message in run_checks(include_deployment_checks=True)]
    told.run("querycache", "status")
    told.run("querycache", "status", "--json")
    told.run("querycache", "invalidate")


@pytest.mark.parametrize("url", URLS)
def test_password_of_a_url(
    database: str, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(caplog)
    monkeypatch.setattr(settings, "QUERYCACHE", {"STORE": url, "TIMEOUT": 0.1})
    use(told, database)
    install.uninstall()
    assert len(told.text) > 20
    assert SECRET not in told.text


@pytest.mark.parametrize(
    "backend",
    [
        "django.core.cache.backends.redis.RedisCache",
        "django_redis.cache.RedisCache",
        "django.core.cache.backends.memcached.PyMemcacheCache",
    ],
)
@pytest.mark.parametrize("mark", ["", *"#?/@:["])
def test_password_of_a_cache(
    database: str,
    backend: str,
    mark: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scheme = "" if "PyMemcache" in backend else "redis://"
    location = f"{scheme}user:1{mark}{SECRET}@{NOBODY}"
    caches: dict[str, Any] = {"default": {"BACKEND": backend, "LOCATION": location}}
    told = Told(caplog)
    with override_settings(CACHES=caches):
        monkeypatch.setattr(settings, "QUERYCACHE", {"TIMEOUT": 0.1})
        use(told, database)
        install.uninstall()
    assert SECRET not in told.text


def test_password_that_a_server_refuses(
    database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(caplog)
    with required():
        server = RedisServer(options={"requirepass": "another"}).start()
    try:
        for user in ("", "user"):
            url = f"redis://{user}:{SECRET}@127.0.0.1:{server.port}/0"
            monkeypatch.setattr(settings, "QUERYCACHE", {"STORE": url})
            use(told, database)
            Publisher.objects.using(database).all().delete()
            install.uninstall()
    finally:
        server.stop()
    assert "invalid username-password pair" in told.text
    assert SECRET not in told.text
