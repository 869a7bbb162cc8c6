"""A small project whose test suite runs with every hit compared."""

from __future__ import annotations

import json
import os

SECRET_KEY = "suite"
USE_TZ = True
STATIC_URL = "/static/"
ROOT_URLCONF = "tests.suite.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "querycache",
    "tests.library",
]
# Apps without migrations, as the models of these tests are, cannot refer to apps with some.
MIGRATION_MODULES = {"contenttypes": None, "auth": None}
DATABASES = {"default": json.loads(os.environ["SUITE_DATABASE"])}
QUERYCACHE = {"STORE": os.environ["SUITE_STORE"], "VERIFY": 1.0, "VERIFY_RAISES": True}
