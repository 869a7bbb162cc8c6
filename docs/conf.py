"""How Sphinx builds the documentation: `nox -s docs`."""

from __future__ import annotations

from importlib.metadata import version as installed

project = "querycache"
author = "querycache contributors"
copyright = author
version = release = installed("querycache")

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
# `[text](page.md#some-heading)` works for headings down to this level.
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"querycache {release}"
