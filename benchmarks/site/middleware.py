"""Tells with each page how many queries reached the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse

HEADER = "X-Queries"


class CountQueries:
    """Outermost of the middleware.

    Args:
        get_response: the rest of the site.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve a page, with the number of its queries in a header."""
        reached = 0

        def count(execute: Any, *args: Any) -> Any:
            nonlocal reached
            reached += 1
            return execute(*args)

        with connection.execute_wrapper(count):
            response = self._get_response(request)
        response[HEADER] = str(reached)
        return response
