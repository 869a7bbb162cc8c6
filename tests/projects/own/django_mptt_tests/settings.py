from __future__ import annotations

from base_settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "mptt", "django_mptt_tests"]
