from __future__ import annotations

from base_settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "polymorphic", "django_polymorphic_tests"]
