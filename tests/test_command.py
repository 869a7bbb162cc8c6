"""`manage.py querycache`: through call_command, and as users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections

import querycache
from querycache import install
from querycache.cache import QueryCache
from tests.environment import STORES, configure
from tests.library.models import Author, Genre

ROOT = Path(__file__).resolve().parents[1]

SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def manage(*arguments: Any) -> str:
    out = StringIO()
    call_command("querycache", *arguments, stdout=out)
    return out.getvalue()


def manage_json(*arguments: Any) -> Any:
    return json.loads(manage(*arguments, "--json"))


class TestStatus:
    @SQLITE
    @pytest.mark.parametrize("store_url", STORES, indirect=True)
    def test_says_what_is_in_use(self, cache: QueryCache, database: str) -> None:
        list(Author.objects.using(database).all())
        found = manage_json("status")
        assert found["mode"] == "on"
        assert found["consistency"] == "strict"
        assert found["key_prefix"] == cache.config.key_prefix
        assert found["version"]
        kind = cache.config.store.partition("://")[0].replace("unix", "redis")
        assert found["store"].lower().startswith(kind)
        assert "sqlite.db" in found[f"database {database}"]
        text = manage("status")
        for name, value in found.items():
            assert name.replace("_", " ") in text
            # Numbers such as the bytes in use, and the seconds of the server, may have changed.
            assert not isinstance(value, str) or value.isdigit() or value in text

    @SQLITE
    def test_only_cached_databases(self, database: str) -> None:
        configure(STORE="memory://", DATABASES=["default"])
        assert "database default" in manage_json("status")
        assert f"database {database}" not in manage_json("status")

    def test_off(self) -> None:
        settings.QUERYCACHE = {"MODE": "off"}
        install.install()
        assert manage_json("status") == {"mode": "off"}
        assert manage("status").split() == ["mode", "off"]

    def test_passwords_are_not_shown(self) -> None:
        configure(STORE="redis://somebody:s3cret@127.0.0.1:1/0", TIMEOUT=0.05)
        for action in ("status", "invalidate"):
            with pytest.raises(CommandError) as caught:
                manage(action)
            assert "127.0.0.1:1" in str(caught.value)
            assert "s3cret" not in str(caught.value)

    def test_wrong_settings(self) -> None:
        settings.QUERYCACHE = {"STROE": "memory://"}
        install.install()
        try:
            for arguments in (["status"], ["invalidate"], ["explain", "library.Author"]):
                with pytest.raises(CommandError, match="STROE"):
                    manage(*arguments)
        finally:
            settings.QUERYCACHE = {}
            install.install()


@SQLITE
class TestInvalidate:
    def test_targets(self, cache: QueryCache, database: str) -> None:
        authors, genres = Author.objects.using(database), Genre.objects.using(database)
        list(authors.all())
        list(genres.all())
        assert "library.Author" in manage("invalidate", "library.Author", "auth")
        assert not querycache.explain(authors.all()).hit
        assert querycache.explain(genres.all()).hit

    def test_everything(self, cache: QueryCache, database: str) -> None:
        list(Author.objects.using(database).all())
        assert manage_json("invalidate") == {"invalidated": ["everything"]}
        assert not querycache.explain(Author.objects.using(database).all()).hit

    def test_one_database(self, cache: QueryCache, database: str) -> None:
        list(Author.objects.using(database).all())
        manage("invalidate", "--using", "default")
        assert querycache.explain(Author.objects.using(database).all()).hit
        manage("invalidate", "library", "--using", database)
        assert not querycache.explain(Author.objects.using(database).all()).hit

    def test_unknown_names(self, cache: QueryCache, database: str) -> None:
        with pytest.raises(CommandError, match=r"did you mean 'library\.Author'"):
            manage("invalidate", "library.Auhtor")
        with pytest.raises(CommandError, match="did you mean 'default'"):
            manage("invalidate", "--using", "defualt")

    def test_off(self, database: str) -> None:
        settings.QUERYCACHE = {"MODE": "off"}
        install.install()
        with pytest.raises(CommandError, match="off"):
            manage("invalidate")


@SQLITE
class TestExplain:
    def test_is_explain(self, cache: QueryCache, database: str) -> None:
        Author.objects.using(database).create(name="Ann")
        queryset = Author.objects.using(database).filter(name="Ann").order_by("-pk")[:3]
        arguments = (
            *("explain", "library.Author", "name=Ann", "--using", database),
            *("--order-by=-pk", "--limit", "3"),
        )
        found = manage_json(*arguments)
        assert found["cacheable"] is True
        assert found["hit"] is False
        assert found["dependencies"] == ["library_author"]
        assert "LIMIT 3" in found["sql"]
        assert list(queryset)
        found = manage_json(*arguments)
        assert found["hit"] is True
        assert found["key"] == querycache.explain(queryset).key
        assert found["size"] > 0
        text = manage(*arguments)
        assert found["key"] in text
        assert "library_author" in text

    def test_what_is_not_cached(self, database: str) -> None:
        configure(STORE="memory://", EXCLUDE=["library.Author"])
        found = manage_json("explain", "library.Author", "--using", database)
        assert found["cacheable"] is False
        assert "EXCLUDE" in found["reason"]
        assert "key" not in found

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["library.Auhtor"], "Auhtor"),
            (["nowhere.Author"], "nowhere"),
            (["Author"], "form app.Model"),
            (["a.b.Author"], "form app.Model"),
            (["library.Author", "name"], "field=value"),
            (["library.Author", "nmae=Ann"], "nmae"),
            (["library.Author", "id=many"], "id"),
            (["library.Author", "born=yesterday"], "yesterday"),
            (["library.Book", "isbn=x"], "x"),
            (["library.Author", "--order-by", "nmae"], "nmae"),
            (["library.Author", "--limit=-1"], "[Nn]egative"),
            (["library.Author", "--using", "defualt"], "did you mean 'default'"),
        ],
    )
    def test_errors(
        self, cache: QueryCache, database: str, arguments: list[str], message: str
    ) -> None:
        with pytest.raises(CommandError, match=message):
            manage("explain", *arguments)

    def test_leaves_the_database_alone(self, cache: QueryCache, database: str) -> None:
        connections[database].close()
        manage("explain", "library.Author", "--using", database)
        assert querycache.stats().misses == 0


# -- as users run it ---------------------------------------------------------------------------

SETTINGS = """
from pathlib import Path

HERE = Path(__file__).parent
SECRET_KEY = "a project"
INSTALLED_APPS = ["django.contrib.contenttypes", "querycache", "tests.library"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "db.sqlite3"}}
QUERYCACHE = {"STORE": f"lmdb://{HERE / 'store'}?size=8mb"}
"""


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs manage.py of a new project, in a process of its own each time."""
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "manage.py").write_text(
        "import sys\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(sys.argv)\n"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "manage.py", *arguments],
            cwd=tmp_path,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_in_a_project(project: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Each command is a process of its own, and all of them share the store."""

    def explained() -> Any:
        done = project("querycache", "explain", "library.Author", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    done = project("migrate", "--run-syncdb", "-v0")
    assert done.returncode == 0, done.stderr
    assert explained()["hit"] is False
    read = "from tests.library.models import Author; list(Author.objects.all())"
    assert project("shell", "-v0", "-c", read).returncode == 0
    assert explained()["hit"] is True
    done = project("querycache", "invalidate", "library.Genre", "--json")
    assert json.loads(done.stdout) == {"invalidated": ["library.Genre"]}
    assert explained()["hit"] is True
    assert project("querycache", "invalidate", "library.Author").returncode == 0
    assert explained()["hit"] is False
    done = project("querycache", "status")
    assert done.returncode == 0
    assert "lmdb" in done.stdout
    done = project("querycache", "invalidate", "library.Auhtor")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("CommandError: there is no app, model or table")
    assert "Traceback" not in done.stderr
    for arguments in ((), ("explain",), ("dance",)):
        done = project("querycache", *arguments)
        assert done.returncode == 2
        assert "usage: manage.py querycache" in done.stderr
    done = project("querycache", "--help")
    assert done.returncode == 0
    for action in ("status", "invalidate", "explain", "advise"):
        assert action in done.stdout
