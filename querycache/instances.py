"""Model instances made of rows, where nothing but Django has a say in how.

`Model.from_db()` sends two signals and sets attributes one by one, each of which a class may have
ideas of its own about. Where it has none, an instance is its values and its state.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from django.db.models import Model
from django.db.models.base import ModelState
from django.db.models.fields.files import FileDescriptor
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.signals import post_init, pre_init

_INIT: Final = Model.__init__
_FROM_DB: Final = Model.from_db.__func__  # type: ignore[attr-defined]

#: What is passed to `from_db()`, by Django's loops that are known.
_PASSED: Final = {"cls", "db", "field_names", "values", "fetch_mode"}
_TAKEN: Final = inspect.signature(_FROM_DB).parameters.keys()

#: Descriptors that set what they are given, on an instance that is new.
_PLAIN: Final = frozenset({FileDescriptor, ForeignKeyDeferredAttribute})

Make = Callable[..., Any]


class Maker:
    """Stands in for a model where Django makes instances of rows.

    Args:
        model: whose instances are nothing but their values and their state.
    """

    __slots__ = ("_make", "_meta", "model")

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self._meta = model._meta
        self._make = _maker(model)

    @property
    def from_db(self) -> Make:
        """What makes an instance: the model's own method where programs have come in between."""
        return self._make if _is_left_to_django(self.model) else self.model.from_db

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def with_makers(info: Any, columns: Sequence[Any]) -> Any:
    """Return what tells Django how to make instances, with makers in the place of plain models.

    Args:
        info: `klass_info` of the compiler of a query for instances.
        columns: what it selects.
    """
    done = dict(info)
    if _is_plain(info["model"]) and _are_in_order(info, columns):
        done["model"] = Maker(info["model"])
    related = info.get("related_klass_infos")
    if related:
        done["related_klass_infos"] = [with_makers(one, columns) for one in related]
    return done


def model_of(told: Any) -> Any:
    """Return the model that something is, or stands in for.

    Args:
        told: the model of a `klass_info`.
    """
    return told.model if type(told) is Maker else told


def _is_plain(model: type[Model]) -> bool:
    """Tell whether an instance of a model is nothing but its values and its state."""
    kinds = model.__mro__
    behind = kinds[kinds.index(Model) + 1 : -1]
    return (
        _INIT.__module__ == _FROM_DB.__module__ == Model.__module__
        and model.__new__ is object.__new__
        and model.__setattr__ is object.__setattr__
        and type(model).__call__ is type.__call__
        # Django's own calls the next one.
        and not any("__init__" in vars(kind) for kind in behind)
        and all(map(_is_set_plainly, _attributes(model)))
        and _is_left_to_django(model)
        and _is_as_known(model)
    )


def _is_left_to_django(model: type[Model]) -> bool:
    """Tell whether nobody takes part in making instances of a model at the moment."""
    return (
        model.__init__ is _INIT
        and getattr(model.from_db, "__func__", None) is _FROM_DB
        and not (pre_init.receivers and pre_init.has_listeners(model))
        and not (post_init.receivers and post_init.has_listeners(model))
    )


def _is_as_known(model: type[Model]) -> bool:
    """Tell whether an instance is like Django's: later versions may keep more in theirs."""
    names = [field.attname for field in model._meta.concrete_fields]
    made = [make("", names, names) for make in (_maker(model), model.from_db)]
    ours, own = ([*vars(one).items()][1:] for one in made)
    state, others = (vars(one._state) for one in made)
    # Foreign keys have looked into it.
    others.pop("fields_cache", None)
    return _TAKEN <= _PASSED and ours == own and state == others


def _attributes(model: type[Model]) -> Iterator[Any]:
    """Yield what a class holds under the names of an instance's attributes."""
    for name in ("_state", *(field.attname for field in model._meta.concrete_fields)):
        yield next((vars(kind)[name] for kind in model.__mro__ if name in vars(kind)), None)


def _is_set_plainly(attribute: Any) -> bool:
    """Tell whether setting an attribute of a new instance does nothing else."""
    kind = type(attribute)
    return kind in _PLAIN or not hasattr(kind, "__set__")


def _are_in_order(info: Any, columns: Sequence[Any]) -> bool:
    """Tell whether the columns of a model come in the order of its fields; Django goes by it."""
    fields = (field.attname for field in info["model"]._meta.concrete_fields)
    return all(columns[place][0].target.attname in fields for place in info["select_fields"])


def _maker(model: type[Model]) -> Make:
    """Return what does for a plain model what its `from_db()` does."""
    new = model.__new__

    def make(
        using: str, names: Sequence[str], values: Sequence[Any], *, fetch_mode: Any = None
    ) -> Any:
        made = new(model)
        made._state = state = ModelState()
        # Django cuts both from one result.
        made.__dict__.update(zip(names, values))  # noqa: B905
        state.adding = False
        state.db = using
        if fetch_mode is not None:
            state.fetch_mode = fetch_mode
        return made

    # Django asks with this whether it may pass a fetch mode.
    make.__func__ = _FROM_DB  # type: ignore[attr-defined]
    return make
