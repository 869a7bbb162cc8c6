"""The Django app: reads the settings, puts the cache in place, registers the checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.signals import setting_changed


class QuerycacheConfig(AppConfig):
    """Installs querycache when Django starts; connects to nothing."""

    name = "querycache"
    label = "querycache"
    verbose_name = "querycache"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Install; what is wrong with the settings is told by checks and by the first query."""
        from querycache import check_registry, install

        check_registry.register()
        setting_changed.connect(install.reinstall, dispatch_uid="querycache")
        install.install()
