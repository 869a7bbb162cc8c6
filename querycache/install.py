"""Installing querycache: at the start, and whenever the settings change.

Both are light. What they lead to is imported and made by the first use of a database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from querycache import conf, seams
from querycache.runtime import runtime

if TYPE_CHECKING:
    from querycache.state import Installed


def install() -> None:
    """Put the settings as they are now into use.

    Settings that are wrong do not raise here, since no system check could then tell of them; they
    are refused by the first query instead, also where nobody runs checks.
    """
    uninstall()
    runtime.refusal = None
    try:
        config = conf.load(getattr(settings, "QUERYCACHE", None))
        if config.mode == "off" or conf.store_kind(config, settings.CACHES) == "off":
            return
        # Now: the first query may be one that its module runs when it is imported.
        config.context_function()
    except ImproperlyConfigured as error:
        runtime.refusal = str(error)
    else:
        runtime.postpone(lambda: _make(config))
    if not seams.arrange():
        runtime.ready()


def _make(config: conf.Config) -> Installed | None:
    from querycache.opening import make

    try:
        return make(config)
    except ImproperlyConfigured as error:
        runtime.refusal = str(error)
        return None


def uninstall() -> None:
    """Leave every query alone from now on."""
    installed = runtime.clear()
    if installed is not None:
        installed.cache.close()


def reinstall(*, setting: str, **kwargs: Any) -> None:
    """Follow `django.test.override_settings`; a receiver of `setting_changed`."""
    if setting in ("QUERYCACHE", "CACHES", "DATABASES", "SECRET_KEY"):
        install()
    elif setting in ("TIME_ZONE", "USE_TZ") and runtime.current is not None:
        from querycache.state import time_zone_changed

        time_zone_changed()
