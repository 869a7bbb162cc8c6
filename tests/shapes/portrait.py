"""All of a result that user code could tell apart: values, types, order, loaded relations."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet


def portrait(value: Any, seen: set[int] | None = None) -> Any:
    """Describe a result so that two descriptions are equal only where the results are the same."""
    seen = set() if seen is None else seen
    kind = type(value)
    if isinstance(value, Model):
        if id(value) in seen:
            return (value._meta.label, value.pk)
        seen.add(id(value))
        state = value._state
        return (
            kind.__qualname__,
            {n: portrait(v, seen) for n, v in sorted(value.__dict__.items()) if n[0] != "_"},
            {n: portrait(v, seen) for n, v in sorted(state.fields_cache.items())},
            {
                n: portrait(v, seen)
                for n, v in sorted(value.__dict__.get("_prefetched_objects_cache", {}).items())
            },
            sorted(value.get_deferred_fields()),
            (state.db, state.adding),
        )
    if isinstance(value, QuerySet):
        return [portrait(item, seen) for item in value]
    if isinstance(value, dict):
        return (
            kind.__name__,
            [(portrait(k, seen), portrait(v, seen)) for k, v in value.items()],
        )
    if isinstance(value, list | tuple):
        return (kind.__name__, [portrait(item, seen) for item in value])
    if isinstance(value, memoryview):
        return ("memoryview", bytes(value))
    return (kind.__name__, repr(value))
