"""The admin, sessions and permissions: what one process changes is right at once in every other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environment import Environment
from tests.servers import required
from tests.serving.browser import Browser, Page
from tests.serving.site import Server, Site

SERVER = ("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-w", "1", "-k", "gthread", "--threads", "2")
PREPARE = """
from django.contrib.auth.models import Group, Permission, User
User.objects.create_superuser("chief", password="chief")
clerk = User.objects.create_user("clerk", password="clerk", is_staff=True)
clerk.groups.add(Group.objects.create(name="readers"))
"""

USERS = "/admin/auth/user/"


@pytest.fixture
def database(
    environment: Environment, place: tuple[str, str], tmp_path: Path
) -> Iterator[dict[str, object]]:
    """An empty database for migrations to fill."""
    if place[0] != "postgresql":
        yield {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(tmp_path / "admin.db"),
            "OPTIONS": {"timeout": 30, "init_command": "PRAGMA journal_mode=wal"},
        }
        return
    with required():
        server = environment.postgres
    name = f"admin{os.urandom(4).hex()}"
    server.create_database(name)
    yield server.django_database(name)
    server.drop_database(name)


@pytest.fixture
def servers(
    environment: Environment, place: tuple[str, str], database: dict[str, object], tmp_path: Path
) -> Iterator[tuple[Server, Server]]:
    """Two processes that serve the admin."""
    with required():
        store = environment.store_url(place[1])
    querycache = {"STORE": store, "KEY_PREFIX": os.urandom(4).hex(), "LEASE": 1.0, "TIMEOUT": 5.0}
    site = Site(database, querycache, settings="tests.serving.admin_settings")
    site.run("-m", "django", "migrate", "--verbosity", "0")
    site.run("-m", "django", "shell", "--command", PREPARE)
    with contextlib.ExitStack() as stack:
        running = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            command = (*SERVER, "--log-level", "warning", "tests.serving.wsgi")
            running.append(
                stack.enter_context(site.served(folder, *command, answers="/admin/login/"))
            )
        yield running[0], running[1]


def save(browser: Browser, server: Server, path: str, changes: dict[str, list[str] | None]) -> None:
    """Change an object through its form in the admin."""
    page = browser.send(server, path, dict(changes))
    # The form comes again, with what is wrong with it, where it was not taken.
    assert page.path != path, page.text


def log_in(server: Server, name: str, password: str | None = None) -> Browser:
    browser = Browser()
    fields = {"username": name, "password": password or name}
    page = browser.send(server, "/admin/login/?next=/admin/", fields)
    assert inside(page), page.text
    return browser


def inside(page: Page) -> bool:
    """Tell whether a page is not that of the login."""
    return page.status in (200, 403) and not page.path.startswith("/admin/login/")


def warm(browser: Browser, *servers: Server) -> None:
    """Have what a page needs in the cache of each process."""
    for server in servers:
        for _ in range(3):
            browser.get(server, "/admin/")
            browser.get(server, USERS)


def test_log_in_and_out(servers: tuple[Server, Server]) -> None:
    one, two = servers
    for here, there in ((one, two), (two, one)):
        browser = log_in(here, "chief")
        warm(browser, one, two)
        assert inside(browser.get(there, "/admin/"))
        assert "Log out" in browser.get(there, "/admin/").text
        token = "csrfmiddlewaretoken"
        fields = dict(browser.get(here, "/admin/password_change/").form())
        browser.post(here, "/admin/logout/", [(token, fields[token])])
        assert not inside(browser.get(there, "/admin/"))
        assert not inside(browser.get(here, "/admin/"))


def test_a_changed_password_ends_other_sessions(servers: tuple[Server, Server]) -> None:
    one, two = servers
    password = "clerk"
    for here, there in ((one, two), (two, one)):
        mine, others = log_in(here, "clerk", password), log_in(there, "clerk", password)
        warm(mine, one, two)
        warm(others, one, two)
        new = password + "x"
        changed = {"old_password": password, "new_password1": new, "new_password2": new}
        page = mine.send(here, "/admin/password_change/", changed)
        assert page.path == "/admin/password_change/done/"
        for server in (there, here):
            assert not inside(others.get(server, "/admin/"))
            assert inside(mine.get(server, "/admin/"))
        refused = Browser().send(
            there, "/admin/login/", {"username": "clerk", "password": password}
        )
        assert "correct username and password" in refused.text
        password = new


def test_permissions_of_groups_and_users(servers: tuple[Server, Server]) -> None:
    one, two = servers
    chief, clerk = log_in(one, "chief"), log_in(two, "clerk")
    warm(clerk, one, two)
    assert clerk.get(two, USERS).status == 403
    group = "/admin/auth/group/1/change/"
    user = f"{USERS}2/change/"
    view = permission(chief.get(one, group), "Can view user")
    for here, there in ((one, two), (two, one)):
        # A permission of a group.
        save(chief, here, group, {"permissions": [view]})
        assert clerk.get(there, USERS).status == 200
        warm(clerk, one, two)
        # Out of the group, and in again.
        save(chief, here, user, {"groups": None})
        assert clerk.get(there, USERS).status == 403
        save(chief, here, user, {"groups": ["1"]})
        assert clerk.get(there, USERS).status == 200
        warm(clerk, one, two)
        save(chief, here, group, {"permissions": None})
        assert clerk.get(there, USERS).status == 403
        # One of their own.
        save(chief, here, user, {"user_permissions": [view]})
        assert clerk.get(there, USERS).status == 200
        save(chief, here, user, {"user_permissions": None})
        assert clerk.get(there, USERS).status == 403
    # Nobody who is not active is logged in.
    save(chief, one, user, {"is_active": None})
    assert not inside(clerk.get(two, "/admin/"))
    assert not inside(clerk.get(one, "/admin/"))


def permission(page: Page, name: str) -> str:
    """Return the key of a permission that a form offers."""
    before, _, _ = page.text.partition(f"{name}</option>")
    return before.rpartition('<option value="')[2].partition('"')[0]
