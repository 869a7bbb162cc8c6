"""Web servers that people run, with several processes: no visitor sees anything old."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.serving.site import Server, Site, Visitors

GUNICORN = ("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-w", "2", "--log-level", "warning")
UVICORN = ("-m", "uvicorn", "--port", "{port}", "--workers", "2", "--log-level", "warning")

SERVERS = {
    "runserver": ("-m", "django", "runserver", "--noreload", "127.0.0.1:{port}"),
    "gunicorn sync": (*GUNICORN, "-k", "sync", "tests.serving.wsgi"),
    "gunicorn gthread": (*GUNICORN, "-k", "gthread", "--threads", "4", "tests.serving.wsgi"),
    "gunicorn preload": (*GUNICORN, "--preload", "-k", "gthread", "tests.serving.warm"),
    "uvicorn": (*UVICORN, "tests.serving.asgi:application"),
}

#: How views read and write → the servers that are asked for it.
VIEWS = {
    "sync": tuple(SERVERS),
    "atomic": ("gunicorn gthread",),
    "async": ("uvicorn", "gunicorn gthread"),
    "threads": ("uvicorn",),
}


@pytest.mark.parametrize(
    ("views", "kind"), [(views, kind) for views, kinds in VIEWS.items() for kind in kinds]
)
def test_no_visitor_sees_anything_old(site: Site, tmp_path: Path, views: str, kind: str) -> None:
    with site.served(tmp_path, *SERVERS[kind]) as server:
        pages = Pages(server, views)
        Visitors(pages.read, pages.write).come(40)
        pages.until_every_process_hits(2 if "-w" in SERVERS[kind] else 1)


def test_runserver_that_loads_its_code_anew(site: Site, tmp_path: Path) -> None:
    """Each reload is a new process, with what the one before has left in the store."""
    code = tmp_path / "code_of_the_site.py"
    code.write_text("version = 0\n")
    site = replace(site, settings="tests.serving.reloaded", variables={"SITE_CODE": str(tmp_path)})
    with site.served(tmp_path, "-m", "django", "runserver", "127.0.0.1:{port}") as server:
        pages = Pages(server, "sync")
        visitors = Visitors(pages.read, pages.write)
        visitors.come(20)
        before = server.get("/sync/read/")["process"]
        code.write_text("version = 1\n")
        while True:
            try:
                # A server that is just ending may answer with nothing.
                page = server.get("/sync/read/")
                if page is not None and page["process"] != before:
                    break
            except OSError:
                pass
        visitors.come(20)


class Pages:
    """Reads and writes as visits to pages.

    Args:
        server: whose.
        views: which, the first part of their paths.
    """

    def __init__(self, server: Server, views: str) -> None:
        self._server = server
        self._views = views

    def read(self) -> list[int]:
        found: list[int] = self._server.get(f"/{self._views}/read/")["values"]
        return found

    def write(self, register: int, value: int) -> None:
        self._server.get(f"/{self._views}/write/{register}/{value}/")

    def until_every_process_hits(self, processes: int) -> None:
        """Visit until so many processes have served from the cache: they do share it."""
        hits: set[int] = set()
        while len(hits) < processes:
            page = self._server.get(f"/{self._views}/read/")
            if page["hit"]:
                hits.add(page["process"])
