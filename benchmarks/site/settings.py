"""What a site needs besides the settings of a contender."""

from __future__ import annotations

from typing import Any

APPS = (
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
)

MIDDLEWARE = (
    "benchmarks.site.middleware.CountQueries",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
)


def with_site(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a contender, with a site.

    Args:
        settings: as `settings_for` returns them.
    """
    database = {**settings["DATABASES"]["default"], "CONN_MAX_AGE": None}
    return {
        **settings,
        "DATABASES": {"default": database},
        "ALLOWED_HOSTS": ["127.0.0.1"],
        "INSTALLED_APPS": [*settings["INSTALLED_APPS"], *APPS, "benchmarks.site"],
        "MIDDLEWARE": MIDDLEWARE,
        "ROOT_URLCONF": "benchmarks.site.urls",
        "STATIC_URL": "static/",
        "LOGIN_URL": "/admin/login/",
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
    }


def with_tables(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of who makes all tables that any contender needs, and serves nothing.

    Args:
        settings: as `settings_for` returns them.
    """
    site = with_site(settings)
    return {
        **site,
        "INSTALLED_APPS": ["querycache", *site["INSTALLED_APPS"]],
        # A store in use would name itself in the database, which others then keep out of.
        "QUERYCACHE": {"MODE": "off"},
    }
