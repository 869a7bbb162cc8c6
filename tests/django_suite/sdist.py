"""Tests of other projects: most source distributions carry them, wheels do not."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path


def source_of(package: str, folder: Path) -> Path:
    """Fetch the source distribution of an installed package, once.

    Args:
        package: its name.
        folder: where distributions are kept.

    Returns:
        The unpacked folder.
    """
    name = re.sub(r"[-_.]+", "_", package).lower()
    found = folder / f"{name}-{version(package)}"
    if found.is_dir():
        return found
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--no-binary", package, "--dest", str(folder), f"{package}=={version(package)}"),
        ],
        check=True,
    )
    with tarfile.open(found.with_name(f"{found.name}.tar.gz")) as archive:
        # Python has filters since 3.11.4; Debian 12, whose sqlite3 loads SpatiaLite, has 3.11.2.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
    return found
