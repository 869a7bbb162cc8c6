"""The demo's Django project: settings, made in each of its processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import django
from django.apps import apps
from django.conf import settings
from django.db import connection, connections


@dataclass(frozen=True, slots=True)
class Project:
    """What all processes of one run share.

    Args:
        folder: where the database and the store are; private and temporary.
        secret: the `SECRET_KEY`.
    """

    folder: Path
    secret: str

    def set_up(self, *, cached: bool) -> None:
        """Start Django in this process.

        Args:
            cached: whether querycache is among the installed apps; the figures without it are those
                of a plain Django.
        """
        settings.configure(
            SECRET_KEY=self.secret,
            USE_TZ=True,
            INSTALLED_APPS=[*(["querycache"] if cached else []), "querycache.demo"],
            DATABASES={
                "default": {
                    "ENGINE": "django.db.backends.sqlite3",
                    "NAME": str(self.folder / "world.sqlite3"),
                    "OPTIONS": {
                        "timeout": 30,
                        # What Django's documentation advises where several processes write.
                        "transaction_mode": "IMMEDIATE",
                        "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal",
                    },
                }
            },
            QUERYCACHE={"STORE": f"lmdb://{quote(str(self.folder / 'store'))}?size=64mb"},
        )
        django.setup()

    @staticmethod
    def make_tables() -> None:
        """Create the tables of the demo's models."""
        with connection.schema_editor() as editor:
            for model in apps.get_app_config("demo").get_models():
                editor.create_model(model)

    @staticmethod
    def close() -> None:
        """Let go of the database and the store, so that the folder can be removed."""
        from querycache.install import uninstall

        connections.close_all()
        uninstall()
