"""Who is measured; each kind in a file of its own."""

from __future__ import annotations

from benchmarks.contenders.bare import Floor, NoCache
from benchmarks.contenders.base import Contender
from benchmarks.contenders.cachalot import Cachalot
from benchmarks.contenders.cacheops import Cacheops
from benchmarks.contenders.cachex import Cachex
from benchmarks.contenders.limits import Limit
from benchmarks.contenders.querycache import QueryCache

__all__ = ["CONTENDERS", "FLOOR", "LIMITS", "NONE", "STORES", "Contender"]

#: What keeps entries.
STORES = ("memory", "lmdb", "redis", "memcached")

NONE = NoCache("none", "no cache")
FLOOR = Floor("floor", "ORM floor")

#: In the order of tables and plots.
CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        NONE,
        FLOOR,
        Limit("limit-lmdb", "limit, LMDB", "lmdb"),
        Limit("limit-redis", "limit, Redis", "redis"),
        QueryCache("querycache-memory", "querycache, memory", "memory"),
        QueryCache("querycache-lmdb", "querycache, LMDB", "lmdb"),
        QueryCache("querycache-redis", "querycache, Redis", "redis"),
        QueryCache("querycache-near", "querycache, Redis, near", "redis", {"NEAR": "checked"}),
        QueryCache("querycache-push", "querycache, Redis, push", "redis", {"NEAR": "push"}),
        QueryCache("querycache-memcached", "querycache, Memcached", "memcached"),
        Cachalot("cachalot-redis", "cachalot, Redis", "redis"),
        Cachalot("cachalot-locmem", "cachalot, LocMem", "memory"),
        Cacheops("cacheops-redis", "cacheops, Redis", "redis"),
        Cachex("cachex-redis", "cachex, Redis", "redis"),
    )
}

#: A contender → the one that asks the same kind of store for the least.
LIMITS = {
    contender.name: f"limit-{contender.store}"
    for contender in CONTENDERS.values()
    if contender.real and f"limit-{contender.store}" in CONTENDERS
}
