"""Models that have a say in how their instances are made: what they are built of.

Those that can go by values: one instance that is compared with Django's does not give them away.
"""

from __future__ import annotations

from typing import Any

from django.db import models


class Behind:
    """Comes behind `Model`, whose `__init__()` calls the next one."""

    def __init__(self) -> None:
        self.seen = "behind"


class Front:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen = "front"


class Created:
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        if type(args[0]) is int:
            made.seen = f"made of {args}"  # type: ignore[attr-defined]
        return made


class Setting:
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if type(value) is int:
            vars(self)["seen"] = f"set {name}"


class Read:
    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().from_db(*args, **kwargs)  # type: ignore[misc]
        made.seen = "from_db"
        return made


class Typed(type(models.Model)):  # type: ignore[misc]
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if type(args[0]) is int:
            made.seen = "typed"
        return made


class Called(metaclass=Typed):
    """Its class has a say in how instances are made."""


class Loud:
    """An attribute that does not only keep what it is set to."""

    def __init__(self, field: Any) -> None:
        self.name = field.attname

    def __get__(self, instance: Any, kind: Any = None) -> Any:
        return self if instance is None else vars(instance)[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)[self.name] = value
        if value != self.name:
            vars(instance)["seen"] = "descriptor"


class LoudField(models.CharField):
    descriptor_class = Loud


class Stateful:
    @property
    def _state(self) -> Any:
        return vars(self)["own"]

    @_state.setter
    def _state(self, value: Any) -> None:
        vars(self).update(own=value, seen="state")


PECULIAR: dict[str, tuple[tuple[type, ...], Any]] = {
    "init_behind": ((models.Model, Behind), models.CharField),
    "init": ((Front, models.Model), models.CharField),
    "new": ((Created, models.Model), models.CharField),
    "setattr": ((Setting, models.Model), models.CharField),
    "from_db": ((Read, models.Model), models.CharField),
    "metaclass": ((Called, models.Model), models.CharField),
    "descriptor": ((models.Model,), LoudField),
    "state": ((Stateful, models.Model), models.CharField),
}
