"""A visitor of a site of several servers: cookies, forms, and which page came in the end."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookiejar import CookieJar

from tests.serving.site import PATIENCE, Server

Fields = list[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    """What came back.

    Args:
        status: of the last answer, after redirects.
        path: that it came from.
        text: of the page.
    """

    status: int
    path: str
    text: str

    def form(self) -> Fields:
        """Return the fields of the page's form as a browser would send them back."""
        reader = _Form()
        reader.feed(self.text)
        return reader.fields


class Browser:
    """A browser with cookies of its own; 127.0.0.1 is one site to it, whatever the port."""

    def __init__(self) -> None:
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(cookies)

    def get(self, server: Server, path: str) -> Page:
        """Visit a page."""
        return self._open(urllib.request.Request(_url(server, path)))

    def send(
        self, server: Server, path: str, changes: Mapping[str, str | list[str] | None]
    ) -> Page:
        """Fill in the form of a page and send it.

        Args:
            server: that is asked.
            path: of the page.
            changes: name of a field → what it is set to, a list where it holds several; None takes
                it away.
        """
        page = self.get(server, path)
        assert page.status == 200, (path, page.status)
        fields = [(name, value) for name, value in page.form() if name not in changes]
        for name, value in changes.items():
            values = [] if value is None else [value] if isinstance(value, str) else value
            fields += [(name, one) for one in values]
        return self.post(server, page.path, fields)

    def post(self, server: Server, path: str, fields: Fields) -> Page:
        """Send fields to a page."""
        data = urllib.parse.urlencode(fields).encode()
        return self._open(urllib.request.Request(_url(server, path), data))

    def _open(self, request: urllib.request.Request) -> Page:
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                return _page(answer.status, answer.url, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return _page(error.code, error.url or "", error.read())


def _url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def _page(status: int, url: str, body: bytes) -> Page:
    parts = urllib.parse.urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return Page(status, path, body.decode())


class _Form(HTMLParser):
    """Reads the fields of all forms but the one that logs out, which has a token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: Fields = []
        self._select = ""
        self._area = ""
        self._skipped = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self._skipped = given.get("id") == "logout-form"
        elif self._skipped:
            return
        elif tag == "input" and name:
            if given.get("type") in ("submit", "button"):
                return
            choice = given.get("type") in ("checkbox", "radio")
            if choice and "checked" not in given:
                return
            self.fields.append((name, given.get("value", "on" if choice else "")))
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in given:
            self.fields.append((self._select, given["value"]))
        elif tag == "textarea":
            self._area = name
            self.fields.append((name, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""
        elif tag == "form":
            self._skipped = False

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[-1] = (self._area, data.removeprefix("\n"))
