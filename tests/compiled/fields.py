"""Fields that have their own way with values."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Value
from django.db.models.functions import Now, Upper

#: Values of `Turned`, some of which it makes SQL of, or NULL.
TURNED = ("none", "sql", "now", "a")


class Wrapped(models.CharField):
    """Writes the place of its value in its own way, and now and then in another."""

    said = "upper"

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        return f"{self.said}(%s)"

    def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> Any:
        return f"{self.said}(%s)", [value]


class Turned(models.CharField):
    """Makes SQL of some values, with parameters and without, and NULL of others."""

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        made = {"none": None, "sql": Upper(Value("b")), "now": Now()}
        return made.get(value, value)
