"""A private primary with replicas and sentinels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.servers.redis import RedisServer
from tests.servers.redis_groups import COPYING, RedisGroup, client, in_step, role_of, until


class RedisSentinel(RedisServer):
    """One sentinel that watches a primary.

    Args:
        service: the name that it is watched under.
        watched: the primary.
        quorum: how many sentinels must agree that the primary is down.
        down_after: after how many ms of silence a sentinel takes a server for down.
        password: what clients of the sentinel must authenticate with; None: nothing.
    """

    def __init__(
        self,
        service: str,
        watched: RedisServer,
        *,
        quorum: int,
        down_after: int,
        password: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(password=password, **more)
        self.options = {}
        lines = [f"sentinel monitor {service} 127.0.0.1 {watched.port} {quorum}"]
        lines += [f"sentinel down-after-milliseconds {service} {down_after}"]
        # As long as it takes to give up on a promotion; a retry comes after twice that time.
        lines += [f"sentinel failover-timeout {service} 10000"]
        if watched.password:
            lines += [f"sentinel auth-pass {service} {watched.password}"]
        if password:
            lines += [f"sentinel sentinel-pass {password}"]
        self._lines = lines

    def prepare(self) -> None:
        # A sentinel writes into it what it learns.
        (self.folder / "sentinel.conf").write_text("\n".join([*self._lines, ""]))

    def command(self) -> Sequence[str]:
        program, *rest = super().command()
        return [program, str(self.folder / "sentinel.conf"), "--sentinel", *rest]


class RedisSentinels(RedisGroup):
    """A primary, its replicas, and the sentinels that watch them.

    Args:
        replicas: how many.
        sentinels: how many.
        password: of the primary and the replicas; None: none.
        sentinel_password: of the sentinels; None: none.
        down_after: after how many ms of silence a sentinel takes a server for down.
        options: directives of the primary and the replicas.
        more: arguments of every `RedisServer`, such as `program`.
    """

    service = "cache"

    def __init__(
        self,
        *,
        replicas: int = 1,
        sentinels: int = 3,
        password: str | None = None,
        sentinel_password: str | None = None,
        down_after: int = 1000,
        options: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__()
        self._counts = replicas, sentinels
        self._password = password
        self._sentinel_password = sentinel_password
        self._down_after = down_after
        self._options = {**COPYING, "repl-diskless-sync-delay": "0", **(options or {})}
        self._more = more

    @property
    def primary(self) -> RedisServer:
        """The server that was the primary at the start."""
        return self.servers[0]

    @property
    def replicas(self) -> list[RedisServer]:
        """The servers that were replicas at the start."""
        return self.servers[1 : 1 + self._counts[0]]

    @property
    def sentinels(self) -> list[RedisServer]:
        """The sentinels."""
        return self.servers[1 + self._counts[0] :]

    @property
    def url(self) -> str:
        """The URL that querycache takes."""
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        login = f":{self._password}@" if self._password else ""
        query = f"?sentinel_password={self._sentinel_password}" if self._sentinel_password else ""
        return f"redis+sentinel://{login}{places}/{self.service}/0{query}"

    def _assemble(self) -> None:
        replicas, sentinels = self._counts
        more = {"password": self._password, "options": self._options, **self._more}
        primary = self._start(RedisServer(**more))
        for _ in range(replicas):
            replica = self._start(RedisServer(**more))
            with client(replica) as admin:
                admin.replicaof("127.0.0.1", str(primary.port))
        until(lambda: all(map(in_step, self.replicas)), "a replica does not copy")
        for _ in range(sentinels):
            sentinel = RedisSentinel(
                self.service,
                primary,
                quorum=sentinels // 2 + 1,
                down_after=self._down_after,
                password=self._sentinel_password,
                **self._more,
            )
            self.servers.append(sentinel)
            sentinel.start()
        until(self._know_each_other, "the sentinels do not find each other")

    def _know_each_other(self) -> bool:
        replicas, sentinels = self._counts
        states = [self._state(one) for one in self.sentinels]
        return all(
            int(state["num-slaves"]) == replicas
            and int(state["num-other-sentinels"]) == sentinels - 1
            for state in states
        )

    def _state(self, sentinel: RedisServer) -> dict[str, Any]:
        with client(sentinel) as admin:
            state: dict[str, Any] = admin.sentinel_master(self.service)
            return state

    def wait_for_primary(self, server: RedisServer) -> None:
        """Wait until every sentinel names a server, and the server knows that it is the primary."""
        until(
            lambda: (
                role_of(server) == "master"
                and all(
                    self._state(one)["port"] == server.port for one in self.sentinels if one.running
                )
            ),
            "the sentinels name another primary",
        )

    def fail_over(self) -> None:
        """Have the sentinels promote a replica now, though the primary is well."""
        with client(self.sentinels[0]) as admin:
            admin.execute_command("SENTINEL FAILOVER", self.service)
