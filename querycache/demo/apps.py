"""The Django app of the demo's models."""

from __future__ import annotations

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """The demo's models, in a project of the demo's own."""

    name = "querycache.demo"
    label = "demo"
    default_auto_field = "django.db.models.BigAutoField"
