"""A panel of the Django Debug Toolbar: what the cache did with each read of a request.

Put ``"querycache.panel.QueryCachePanel"`` among `DEBUG_TOOLBAR_PANELS`.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import cached_property

from querycache.recorder import Recorded, Recorder

try:
    from debug_toolbar.panels import Panel
except ImportError as error:  # pragma: no cover - needs an environment without the toolbar
    raise ImproperlyConfigured(
        'querycache.panel needs the Django Debug Toolbar: pip install "querycache[toolbar]"'
    ) from error

_LONGEST_PARAMS = 500


class QueryCachePanel(Panel):
    """Lists the reads of a request: hits, which no other panel shows, and why others are none."""

    title = "Query cache"
    template = "querycache/panel.html"
    is_async = True

    @cached_property
    def _recorder(self) -> Recorder:
        return Recorder()

    @property
    def nav_subtitle(self) -> str:
        """How many hits there were, and how many reads."""
        stats = self.get_stats()
        return f"{stats.get('hits', 0)} hits of {len(stats.get('reads', ()))} reads"

    def enable_instrumentation(self) -> None:
        """Take notes from now on."""
        self._recorder.start()

    def disable_instrumentation(self) -> None:
        """Take no more notes."""
        self._recorder.stop()

    def generate_stats(self, request: Any, response: Any) -> None:
        """Keep what was noted."""
        reads = self._recorder.reads
        self.record_stats(
            {
                "reads": [_described(read) for read in reads],
                "hits": sum(read.hit for read in reads),
                "misses": sum(not read.hit and read.explanation.cacheable for read in reads),
                "left": sum(not read.explanation.cacheable for read in reads),
            }
        )


def _described(read: Recorded) -> dict[str, Any]:
    found = read.explanation
    params = repr(read.params)
    return {
        "verdict": "hit" if read.hit else "miss" if found.cacheable else "not cacheable",
        "reason": read.reason,
        "ms": 1000 * read.seconds,
        "alias": read.alias,
        "sql": found.sql,
        "params": params[:_LONGEST_PARAMS] + "…" * (len(params) > _LONGEST_PARAMS),
        "dependencies": ", ".join(found.dependencies),
        "size": found.size,
    }
