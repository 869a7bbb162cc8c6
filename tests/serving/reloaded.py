"""The site's settings with a module of a test's own, which the test changes while it is served."""

from __future__ import annotations

import os
import sys

from tests.serving.settings import *  # noqa: F403 - settings upon settings, as Django wants them

sys.path.insert(0, os.environ["SITE_CODE"])

import code_of_the_site  # type: ignore[import-not-found]

VERSION = code_of_the_site.version
