"""Faults of the store: down, frozen, empty, old, full, out of reach."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from querycache.watch import LOOK_EVERY
from tests.history.fault import Fault, Steps, outage, pause
from tests.history.proxy import DOWN, UP
from tests.servers import Server

if TYPE_CHECKING:
    from tests.history.scenario import Run

SERVERS = ("redis", "memcached")


def _some_server(run: Run) -> Server:
    return random.choice(run.store.servers)


def paused(run: Run) -> Steps:
    """Freeze the store and let it go on."""
    while True:
        yield from pause(random.uniform(0.2, 1.5))
        server = _some_server(run)
        server.pause()
        try:
            yield from pause(random.uniform(0.05, 0.8))
        finally:
            server.resume()
        run.tried += 1


def restarted(run: Run) -> Steps:
    """Kill the store and start it, empty."""
    while True:
        yield from pause(run.scenario.lease + random.uniform(0.2, 1.0))
        server = _some_server(run)
        server.kill()
        try:
            yield from pause(random.uniform(0, 0.5))
        finally:
            server.start()
        run.tried += 1


def restarted_from_a_dump(run: Run) -> Steps:
    """Kill Redis and start it with what it held some writes ago."""
    (server,) = run.store.servers
    dump = server.folder / "dump.rdb"
    try:
        while True:
            yield from pause(run.scenario.lease + random.uniform(0.2, 0.6))
            with _redis(run) as client:
                client.save()
            yield from pause(random.uniform(0.1, 0.6))
            server.kill()
            server.start()
            run.tried += 1
    finally:
        server.start()
        dump.unlink(missing_ok=True)


def flushed(run: Run) -> Steps:
    """Remove all keys."""
    while True:
        yield from pause(run.scenario.lease + random.uniform(0.05, 0.5))
        if run.store.kind == "redis":
            with _redis(run) as client:
                client.flushall()
        else:
            with _memcached(_some_server(run)) as client:
                client.flush_all()
        run.tried += 1


def keys_evicted(run: Run) -> Steps:
    """Remove keys at random, one by one, and stamps more often than entries."""
    while True:
        yield from pause(random.uniform(0.01, 0.3))
        if run.store.kind == "redis":
            with _redis(run) as client:
                gone = client.delete(_victim([key.decode() for key in client.scan_iter()]))
        else:
            with _memcached(_some_server(run)) as client:
                gone = client.delete(_victim(_memcached_keys(client)), noreply=False)
        run.tried += bool(gone)


def _victim(keys: list[str]) -> str:
    stamps = [key for key in keys if ":s:" in key]
    return random.choice(stamps if stamps and random.random() < 0.5 else [*keys, "none"])


def full(run: Run) -> Steps:
    """Fill the store with keys of others, so that it evicts."""
    first = 0
    try:
        while True:
            yield from pause(random.uniform(0.05, 0.3))
            for server in run.store.servers:
                _fill(run.store.kind, server, range(first, first + 500))
                first += 500
            run.tried += 1
    finally:
        _remove_junk(run)


def full_and_emptied(run: Run) -> Steps:
    """Fill a store that refuses writes then, and make room again."""
    while True:
        yield from pause(run.scenario.lease + random.uniform(0.2, 0.5))
        try:
            assert not _fill(run.store.kind, run.store.servers[0], range(3000))
            yield from pause(random.uniform(0.2, 1.0))
        finally:
            _remove_junk(run)
        run.tried += 1


def node_cut_off(run: Run) -> Steps:
    """Cut one of two nodes off from every worker, and let it come back with what it holds."""
    while True:
        yield from pause(run.scenario.lease / 2 + random.uniform(0.2, 1.0))
        node = random.randrange(len(run.store.servers))
        chosen = [lane for lane in run.lanes.names() if lane.endswith(f".{node}")]
        yield from _cut(run, chosen)


def worker_cut_off(role: str) -> Callable[[Run], Steps]:
    """Cut one worker off from the store: others still reach it."""

    def make(run: Run) -> Steps:
        while True:
            yield from pause(random.uniform(0.3, 1.5))
            worker = f"{role}{random.randrange(getattr(run.scenario, f'{role}s'))}."
            yield from _cut(run, run.lanes.names(worker))

    return make


def bytes_held(direction: str) -> Callable[[Run], Steps]:
    """Keep back what one worker says to the store, or what it hears, for a while."""

    def make(run: Run) -> Steps:
        while True:
            yield from pause(random.uniform(0.3, 1.0))
            worker = random.choice(run.lanes.names())
            run.lanes.hold(worker, True, direction)
            try:
                yield from pause(random.uniform(0.05, 1.0))
            finally:
                run.lanes.hold(worker, False, direction)
            run.tried += 1

    return make


def disk_full(run: Run) -> Steps:
    """Fill the disk that LMDB's files are on, and make room again."""
    filler = run.store.path.parent / "filler"
    while True:
        yield from pause(random.uniform(0.2, 0.5))
        try:
            with contextlib.suppress(OSError), filler.open("wb") as file:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
            yield from pause(random.uniform(0.2, 1.0))
        finally:
            filler.unlink(missing_ok=True)
        run.tried += 1


def files_deleted(run: Run) -> Steps:
    """Delete LMDB's files while they are in use."""
    while True:
        yield from pause(random.uniform(0.1, 0.6))
        shutil.rmtree(run.store.path, ignore_errors=True)
        run.tried += 1


def _cut(run: Run, lanes: list[str]) -> Steps:
    for lane in lanes:
        run.lanes.cut(lane, True)
    try:
        yield from pause(random.uniform(0.1, 1.5))
    finally:
        for lane in lanes:
            run.lanes.cut(lane, False)
    run.tried += 1


def _redis(run: Run) -> Any:
    import redis

    return redis.Redis(port=run.store.servers[0].port, socket_timeout=10)


def _memcached(server: Server) -> Any:
    from pymemcache import Client

    return contextlib.closing(Client(("127.0.0.1", server.port), timeout=10))


def _memcached_keys(client: Any) -> list[str]:
    from urllib.parse import unquote

    lines = client.raw_command(b"lru_crawler metadump all", b"END\r\n").decode().split("\n")
    return [unquote(line.split()[0][4:]) for line in lines if line.startswith("key=")]


def _fill(kind: str, server: Server, keys: range) -> bool:
    """Put so many large values into a server; tell whether it has taken all of them."""
    values = {f"junk:{key}": os.urandom(4000) for key in keys}
    if kind == "memcached":
        with _memcached(server) as client:
            return not client.set_many(values, noreply=False)
    import redis

    with redis.Redis(port=server.port, socket_timeout=10) as client:
        pipeline = client.pipeline(transaction=False)
        for key, value in values.items():
            # One without an expiry is out of reach of some policies.
            pipeline.set(key, value, ex=3600)
        return all(done is True for done in pipeline.execute(raise_on_error=False))


def _remove_junk(run: Run) -> None:
    if run.store.kind == "redis":
        with _redis(run) as client:
            for key in client.scan_iter("junk:*", 1000):
                client.delete(key)


_AS_EVER = "no page fails, no write is refused, nothing is stale"
_LIMIT = "6mb"


FAULTS = (
    *outage("store frozen", paused, SERVERS),
    *outage("store killed, restarted empty", restarted, SERVERS),
    *outage("store killed, restarted from an old dump", restarted_from_a_dump, ("redis",)),
    Fault("all keys removed", _AS_EVER, flushed, stores=SERVERS),
    Fault("keys removed at random", _AS_EVER, keys_evicted, stores=SERVERS),
    *(
        Fault(f"maxmemory, {policy}", _AS_EVER, full, stores=("redis",),
              changes={"store_options": {"maxmemory": _LIMIT, "maxmemory-policy": policy}})
        for policy in ("allkeys-lru", "allkeys-random", "volatile-lru", "volatile-ttl")
    ),
    *outage(
        "maxmemory, noeviction", full_and_emptied, ("redis",),
        store_options={"maxmemory": _LIMIT, "maxmemory-policy": "noeviction"},
    ),
    Fault("memory full", _AS_EVER, full, stores=("memcached",),
          changes={"store_options": {"-m": "2"}}),
    *outage("one of two nodes cut off and back", node_cut_off, ("memcached",),
             store_lanes=True, nodes=2),
    *outage("one of two nodes restarted empty", restarted, ("memcached",), nodes=2),
    *outage("one writer cut off from the store", worker_cut_off("writer"), SERVERS,
             store_lanes=True),
    *outage("one reader cut off from the store", worker_cut_off("reader"), SERVERS,
             store_lanes=True),
    *outage("what one worker tells the store is late", bytes_held(UP), SERVERS,
             store_lanes=True),
    *outage("what the store answers one worker is late", bytes_held(DOWN), SERVERS,
             store_lanes=True),
    Fault(
        "what the store tells a near cache is late (push)",
        "no page fails, no write is refused; a read lags by a second at most",
        bytes_held(DOWN), stores=("redis",), store_lanes=True,
        changes={"options": {"NEAR": "push"}}, lag=LOOK_EVERY,
    ),
    *outage("disk full", disk_full, ("lmdb",), store_options={"size": "4mb", "tmpfs": "12m"}),
    Fault("files deleted", _AS_EVER, files_deleted, stores=("lmdb",)),
)  # fmt: skip
