"""The settings: defaults, what each key allows, and what a mistake is told."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from querycache import conf, values
from querycache.stores import SCHEMES
from tests.configs import AROUND, load, problem, tenant


@pytest.mark.parametrize("raw", [None, {}])
def test_defaults(raw: Mapping[str, Any] | None) -> None:
    config = conf.load(raw, AROUND)
    assert {field.name: getattr(config, field.name) for field in dataclasses.fields(config)} == {
        "store": "default",
        "mode": "on",
        "verify": 0.0,
        "verify_raises": False,
        "exclude": frozenset(),
        "only": frozenset(),
        "ttl": 604_800.0,
        "max_rows": 10_000,
        "max_bytes": 1_000_000,
        "key_prefix": "qc",
        "databases": None,
        "replicas": {},
        "consistency": "strict",
        "on_store_failure": "journal",
        "lease_ms": 5000,
        "timeout": 0.25,
        "near": "off",
        "near_bytes": 67_108_864,
        "admission": "all",
        "depends": {},
        "triggers": {},
        "raw_sql": "track",
        "reuse_sql": True,
        "context": None,
    }


def test_every_key_is_one_field() -> None:
    fields = {key.field or name.lower() for name, key in conf.KEYS.items()}
    assert fields == {field.name for field in dataclasses.fields(conf.Config)}
    assert len(fields) == len(conf.KEYS)


def test_config_is_frozen_all_through() -> None:
    config = load(DEPENDS={"report": ["b", "a"]}, EXCLUDE=["shop"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.mode = "off"  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.depends["report"] = ()  # type: ignore[index]
    assert config.depends == {"report": ("a", "b")}
    assert config.exclude == frozenset({"shop"})


def test_settings_are_read_once_and_not_kept_by_reference() -> None:
    tables = ["a"]
    raw = {"DEPENDS": {"report": tables}, "ONLY": tables}
    config = conf.load(raw, AROUND)
    tables.append("b")
    raw["DEPENDS"] = {}
    assert config.depends == {"report": ("a",)}
    assert config.only == frozenset({"a"})


ALLOWED: list[tuple[str, Any, str, Any]] = [
    ("STORE", "sessions", "store", "sessions"),
    *(("STORE", f"{scheme}://place", "store", f"{scheme}://place") for scheme in SCHEMES),
    ("MODE", "shadow", "mode", "shadow"),
    ("MODE", "off", "mode", "off"),
    ("VERIFY", 1, "verify", 1.0),
    ("VERIFY", 0.25, "verify", 0.25),
    ("VERIFY_RAISES", True, "verify_raises", True),
    ("EXCLUDE", ("shop", "shop.Book"), "exclude", frozenset({"shop", "shop.Book"})),
    ("ONLY", {"shop_book"}, "only", frozenset({"shop_book"})),
    ("TTL", None, "ttl", None),
    ("TTL", 0.5, "ttl", 0.5),
    ("MAX_ROWS", 1, "max_rows", 1),
    ("MAX_BYTES", 1, "max_bytes", 1),
    ("MAX_BYTES", "2MB", "max_bytes", 2 * 1024**2),
    ("MAX_BYTES", "1.5 kb", "max_bytes", 1536),
    ("STORE", "REDIS://place", "store", "REDIS://place"),
    ("KEY_PREFIX", "shop-1.a_B", "key_prefix", "shop-1.a_B"),
    ("KEY_PREFIX", "x" * 32, "key_prefix", "x" * 32),
    ("DATABASES", None, "databases", None),
    ("DATABASES", ["replica"], "databases", frozenset({"replica"})),
    ("REPLICAS", {}, "replicas", {}),
    (
        "REPLICAS",
        {"replica": {"of": "default", "max_lag": 2.5}},
        "replicas",
        {"replica": values.Replica("default", 2500)},
    ),
    ("CONSISTENCY", "bounded", "consistency", "bounded"),
    ("ON_STORE_FAILURE", "raise", "on_store_failure", "raise"),
    ("LEASE", 0.1, "lease_ms", 100),
    ("LEASE", 3600, "lease_ms", 3_600_000),
    ("LEASE", 2.5, "lease_ms", 2500),
    ("TIMEOUT", 10, "timeout", 10.0),
    ("TIMEOUT", 0.001, "timeout", 0.001),
    ("DEPENDS", {"lower_name": []}, "depends", {"lower_name": ()}),
    ("TRIGGERS", {"a": ["b", "c"]}, "triggers", {"a": ("b", "c")}),
    ("RAW_SQL", "ignore", "raw_sql", "ignore"),
    ("REUSE_SQL", False, "reuse_sql", False),
    ("CONTEXT", tenant, "context", tenant),
    ("CONTEXT", "shop.tenants.current", "context", "shop.tenants.current"),
]


@pytest.mark.parametrize(("key", "value", "field", "expected"), ALLOWED)
def test_allowed(key: str, value: Any, field: str, expected: Any) -> None:
    found = getattr(load(**{key: value}), field)
    assert found == expected
    assert not isinstance(expected, float) or isinstance(found, float)


REFUSED: list[tuple[str, Any]] = [
    ("STORE", None),
    ("STORE", ""),
    ("STORE", "sesions"),
    ("STORE", {"url": "redis://"}),
    ("MODE", "On"),
    ("MODE", True),
    ("MODE", None),
    ("MODE", []),
    ("VERIFY", -0.01),
    ("VERIFY", 1.01),
    ("VERIFY", math.nan),
    ("VERIFY", True),
    ("VERIFY", "0.5"),
    ("VERIFY", None),
    ("REPLICAS", None),
    ("REPLICAS", ["replica"]),
    ("REPLICAS", {"replica": "default"}),
    ("REPLICAS", {"replica": {}}),
    ("REPLICAS", {"replica": {"of": "default"}}),
    ("REPLICAS", {"replica": {"max_lag": 5}}),
    ("REPLICAS", {"replica": {"of": "default", "max_lag": 0}}),
    ("REPLICAS", {"replica": {"of": "default", "max_lag": "5"}}),
    ("REPLICAS", {"replica": {"of": "default", "max_lag": True}}),
    ("REPLICAS", {"replica": {"of": "default", "max_lag": math.inf}}),
    ("REPLICAS", {"replica": {"of": "default", "max_lag": math.nan}}),
    ("REPLICAS", {"replica": {"of": "replica", "max_lag": 5}}),
    ("REPLICAS", {"replica": {"of": [], "max_lag": 5}}),
    ("REPLICAS", {1: {"of": "default", "max_lag": 5}}),
    (
        "REPLICAS",
        {
            "replica": {"of": "default", "max_lag": 5},
            "default": {"of": "replica", "max_lag": 5},
        },
    ),
    ("VERIFY_RAISES", 1),
    ("VERIFY_RAISES", "yes"),
    ("EXCLUDE", "shop"),
    ("EXCLUDE", None),
    ("EXCLUDE", ["shop", 1]),
    ("EXCLUDE", ["shop", []]),
    ("EXCLUDE", [""]),
    ("EXCLUDE", ["shop "]),
    ("EXCLUDE", {"shop": True}),
    ("ONLY", "shop.Book"),
    ("TTL", 0),
    ("TTL", -1),
    ("TTL", math.inf),
    ("TTL", math.nan),
    ("TTL", 10**400),
    ("TTL", True),
    ("MAX_ROWS", 0),
    ("MAX_ROWS", 1.5),
    ("MAX_ROWS", True),
    ("MAX_ROWS", None),
    ("MAX_ROWS", "10"),
    ("MAX_BYTES", 0),
    ("MAX_BYTES", "0"),
    ("MAX_BYTES", "much"),
    ("MAX_BYTES", "-1mb"),
    ("MAX_BYTES", "1e6"),
    ("MAX_BYTES", "9" * 400),
    ("MAX_BYTES", ""),
    ("MAX_BYTES", b"1mb"),
    ("MAX_BYTES", True),
    ("MAX_BYTES", None),
    ("KEY_PREFIX", ""),
    ("KEY_PREFIX", "x" * 33),
    ("KEY_PREFIX", "a b"),
    ("KEY_PREFIX", "a:b"),
    ("KEY_PREFIX", "a\n"),
    ("KEY_PREFIX", "é"),
    ("KEY_PREFIX", b"qc"),
    ("DATABASES", "default"),
    ("DATABASES", ["other"]),
    ("CONSISTENCY", "eventual"),
    ("ON_STORE_FAILURE", "ignore"),
    ("LEASE", 0.09),
    ("LEASE", 3601),
    ("LEASE", None),
    ("TIMEOUT", 0),
    ("TIMEOUT", 10.1),
    ("TIMEOUT", math.nan),
    ("DEPENDS", ["report"]),
    ("DEPENDS", {"report": "shop_book"}),
    ("DEPENDS", {"report": None}),
    ("DEPENDS", {1: ["shop_book"]}),
    ("TRIGGERS", {"": ["shop_book"]}),
    ("RAW_SQL", False),
    ("REUSE_SQL", "no"),
    ("CONTEXT", "tenant"),
    ("CONTEXT", "shop..tenant"),
    ("CONTEXT", "shop.tenants:current"),
    ("CONTEXT", 1),
]


@pytest.mark.parametrize(("key", "value"), REFUSED)
def test_refused(key: str, value: Any) -> None:
    found = problem(**{key: value})
    assert (found.id, found.key) == ("E002", key)
    assert f"QUERYCACHE['{key}'] is " in str(found)
    assert "; it must be " in str(found)
    with pytest.raises(ImproperlyConfigured) as caught:
        load(**{key: value})
    assert str(found) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("EXCLUDES", "EXCLUDE"),
        ("mode", "MODE"),
        ("KEYPREFIX", "KEY_PREFIX"),
        ("ON_STORE_FAIL", "ON_STORE_FAILURE"),
        ("CONSISTANCY", "CONSISTENCY"),
        ("zzz", None),
    ],
)
def test_unknown_key_names_the_nearest(key: str, nearest: str | None) -> None:
    found = problem(**{key: 1})
    assert (found.id, found.nearest) == ("E001", nearest)
    assert repr(key) in str(found)
    assert found.hint is not None
    if nearest is None:
        assert all(name in found.hint for name in conf.KEYS)
    else:
        assert found.hint == f"Did you mean {nearest!r}?"


@pytest.mark.parametrize("key", ["KEYS"])
def test_what_does_not_exist_is_refused(key: str) -> None:
    assert problem(**{key: {}}).id == "E001"


def test_a_key_that_is_no_text() -> None:
    assert [p.id for p in conf.problems({1: 1, None: 2, ("MODE",): 3}, AROUND)] == ["E001"] * 3


@pytest.mark.parametrize(
    ("raw", "nearest"),
    [
        ({"MODE": "shadwo"}, "shadow"),
        ({"MODE": "OFF"}, "off"),
        ({"STORE": "defualt"}, "default"),
        ({"STORE": "redsi://localhost"}, "redis"),
        ({"DATABASES": ["default", "replicas"]}, "replica"),
        ({"REPLICAS": {"replicas": {"of": "default", "max_lag": 5}}}, "replica"),
        ({"REPLICAS": {"replica": {"of": "defalt", "max_lag": 5}}}, "default"),
        ({"REPLICAS": {"replica": {"of": "default", "maxlag": 5}}}, "max_lag"),
        ({"MODE": 3}, None),
    ],
)
def test_wrong_value_names_the_nearest(raw: dict[str, Any], nearest: str | None) -> None:
    assert problem(**raw).nearest == nearest


def test_unknown_scheme_has_its_own_check_and_lists_the_known() -> None:
    found = problem(STORE="mysql://host")
    assert found.id == "E004"
    assert all(scheme in found.allowed for scheme in SCHEMES)


@pytest.mark.parametrize(
    "store",
    [
        "reddis://user:s3cret@host/0",
        "reddis://:s3cret@host",
        "reddis://user:s3/cr?et:s3cret@host",
        "reddis://user:pass@s3cret@host",
        "reddis://host/0?password=s3cret",
        "redis:/user:s3cret@host",
        "user:s3cret@host",
        "s3cret@host",
        {"url": "redis://:s3cret@host"},
    ],
)
def test_no_complaint_shows_a_password(store: object) -> None:
    found = problem(STORE=store)
    assert "s3cret" not in f"{found} {found!r} {found.hint}"
    found = conf.problems(store if isinstance(store, str) else [store], AROUND)[0]
    assert "s3cret" not in f"{found} {found!r} {found.hint}"


@pytest.mark.parametrize("raw", ["on", [], 0, False, ()])
def test_the_setting_is_a_dict(raw: Any) -> None:
    assert [str(p) for p in conf.problems(raw, AROUND)] == [
        f"QUERYCACHE is of type {type(raw).__name__}; it must be a dict."
    ]
    with pytest.raises(ImproperlyConfigured, match="must be a dict"):
        conf.load(raw, AROUND)


def test_load_lists_everything_at_once() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        load(MOD="on", VERIFY=2, LEASE="long")
    for part in ("no key 'MOD'", "Did you mean 'MODE'?", "['VERIFY'] is 2;", "['LEASE'] is 'long'"):
        assert part in str(caught.value)


def test_a_long_value_is_shown_in_short() -> None:
    assert len(str(problem(MODE="x" * 10_000))) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*conf.KEYS]) | st.text(), JSON))
def test_whatever_is_given_is_loaded_or_refused(raw: dict[str, Any]) -> None:
    found = conf.problems(raw, AROUND)
    for one in found:
        json.dumps([str(one), one.hint])
    if found:
        with pytest.raises(ImproperlyConfigured):
            conf.load(raw, AROUND)
    else:
        assert isinstance(conf.load(raw, AROUND), conf.Config)
