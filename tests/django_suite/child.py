"""One run of Django's own suite in a process of its own: ``python -m tests.django_suite.child``.

Nothing of Django's is changed: its `runtests` is imported, and querycache is added to the apps
that it always installs.
"""

from __future__ import annotations

import argparse
import atexit
import importlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("suite", type=Path)
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("labels", nargs="*")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="django_")
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django_suite.settings"
    os.chdir(options.suite)
    sys.path.insert(0, os.fspath(options.suite))
    runtests: Any = importlib.import_module("runtests")
    counted = None
    if json.loads(os.environ["DJANGO_SUITE"])["querycache"] is not None:
        from tests.django_suite import counting

        runtests.ALWAYS_INSTALLED_APPS.append("querycache")
        counted = counting.start(Path(os.environ["DJANGO_SUITE_RESULTS"]))
    failures = runtests.django_tests(
        verbosity=1,
        interactive=False,
        failfast=False,
        keepdb=False,
        reverse=False,
        test_labels=options.labels,
        debug_sql=False,
        parallel=options.parallel,
        tags=None,
        exclude_tags=None,
        test_name_patterns=None,
        start_at=None,
        start_after=None,
        pdb=False,
        buffer=False,
        timing=False,
        shuffle=False,
    )
    del counted
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
