"""Runs the test program of another project, with querycache among its apps or without.

Started by its path, since most projects have a package `tests` of their own, which would hide this
one. Nothing of the project is changed: `django.setup()`, which every one of them calls in its own
way, adds the app first.
"""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import django
from django.conf import settings
from django.test.runner import DiscoverRunner

TESTS = Path(__file__).parent.parent
RESULTS = Path(os.environ["DJANGO_SUITE_RESULTS"])


def load(name: str) -> ModuleType:
    """Import a module of this folder's neighbours under a name that no project has."""
    own = f"querycache_{name.rpartition('/')[2]}"
    spec = importlib.util.spec_from_file_location(own, TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[own] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record() -> None:
    """Have Django's runner write down what became of each test; a plugin does so for pytest."""
    recording = load("django_suite/runner").RecordingRunner
    original = DiscoverRunner.suite_result

    def suite_result(self: Any, suite: Any, result: Any, **kwargs: Any) -> Any:
        recording.write(result.outcomes)
        return original(self, suite, result, **kwargs)

    vars_of: Any = DiscoverRunner
    vars_of.get_resultclass = recording.get_resultclass
    vars_of.suite_result = suite_result
    load("projects/plugin")


def install(querycache: dict[str, Any]) -> Any:
    """Add querycache to the apps of the project when Django is set up."""
    original = django.setup

    def setup(*args: Any, **kwargs: Any) -> None:
        if "querycache" not in settings.INSTALLED_APPS:
            # Projects add to it, so it stays the list or tuple that it is.
            apps = settings.INSTALLED_APPS
            settings.INSTALLED_APPS = type(apps)((*apps, "querycache"))
            settings.QUERYCACHE = querycache
        original(*args, **kwargs)

    django.setup = setup
    return load("django_suite/counting").start(RESULTS)


def main() -> None:
    sys.path[0] = str(Path.cwd())
    record()
    querycache = json.loads(os.environ["DJANGO_SUITE"])["querycache"]
    counted = None if querycache is None else install(querycache)
    del sys.argv[0]
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
    del counted


if __name__ == "__main__":
    main()
