"""A small site for real servers to run; the test says which database and store it has."""

from __future__ import annotations

import json
import os

SECRET_KEY = "serving"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "tests.serving.urls"
WSGI_APPLICATION = "tests.serving.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "querycache",
    "tests.library",
]
MIGRATION_MODULES = {"contenttypes": None, "auth": None, "querycache": None}
DATABASES = {"default": json.loads(os.environ["SITE_DATABASE"])}
QUERYCACHE = json.loads(os.environ["SITE_QUERYCACHE"])
