"""The settings that Django's own tests run under; `tests.django_suite.run` says which."""

from __future__ import annotations

import json
import os

import django

_chosen = json.loads(os.environ["DJANGO_SUITE"])

# The rest is what Django's own `test_sqlite.py` sets.
SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = False
if django.VERSION < (6, 0):
    DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = _chosen["databases"]
TEST_RUNNER = "tests.django_suite.runner.RecordingRunner"
if _chosen["querycache"] is not None:
    QUERYCACHE = _chosen["querycache"]
