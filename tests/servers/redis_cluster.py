"""A private Redis Cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.servers.redis import RedisServer
from tests.servers.redis_groups import COPYING, RedisGroup, client, in_step, role_of, until


class RedisCluster(RedisGroup):
    """A cluster of primaries, each with as many replicas.

    Args:
        primaries: how many; the slots are shared out evenly.
        replicas: how many each of them has.
        password: of all nodes; None: none.
        node_timeout: after how many ms of silence a node is taken for down.
        options: directives of all nodes.
        more: arguments of every `RedisServer`, such as `program` or `tls`.
    """

    def __init__(
        self,
        *,
        primaries: int = 3,
        replicas: int = 1,
        password: str | None = None,
        node_timeout: int = 2000,
        options: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__()
        self._counts = primaries, replicas
        self._password = password
        self._options = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": str(node_timeout),
            # A replica may take over however old it is, so that tests can have one that lags.
            "cluster-replica-validity-factor": "0",
            "repl-diskless-sync-delay": "0",
            **COPYING,
            **(options or {}),
        }
        if "tls" in more:
            self._options |= {"tls-cluster": "yes", "tls-replication": "yes"}
        self._more = more

    @property
    def primaries(self) -> list[RedisServer]:
        """The nodes that were primaries at the start."""
        return self.servers[: self._counts[0]]

    def replicas_of(self, primary: RedisServer) -> list[RedisServer]:
        """Return the nodes that were the replicas of a primary at the start."""
        first = self._counts[0] + self.servers.index(primary) * self._counts[1]
        return self.servers[first : first + self._counts[1]]

    @property
    def url(self) -> str:
        """The URL that querycache takes."""
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.primaries)
        login = f":{self._password}@" if self._password else ""
        tls = self._more.get("tls")
        scheme, query = ("rediss", f"?ssl_ca_certs={tls.ca}") if tls else ("redis", "")
        return f"{scheme}+cluster://{login}{places}{query}"

    def _assemble(self) -> None:
        primaries, replicas = self._counts
        for number in range(primaries * (1 + replicas)):
            node = self._start(
                RedisServer(password=self._password, options=self._options, **self._more)
            )
            with client(node) as admin:
                # What two nodes have in common at their first meeting would be a conflict.
                admin.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        bounds = [16384 * number // primaries for number in range(primaries + 1)]
        for node, first, last in zip(self.primaries, bounds, bounds[1:], strict=False):
            with client(node) as admin:
                admin.execute_command("CLUSTER", "ADDSLOTS", *range(first, last))
        with client(self.servers[0]) as admin:
            for node in self.servers[1:]:
                admin.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        until(self._all_met, "the nodes do not find each other")
        for primary in self.primaries:
            for replica in self.replicas_of(primary):
                with client(replica) as admin:
                    admin.execute_command("CLUSTER", "REPLICATE", self.id_of(primary))
        until(self._know_their_roles, "the nodes do not hear of the replicas")
        until(self.is_whole, "the cluster does not come up")

    def _all_met(self) -> bool:
        return all(
            int(self._info(node)["cluster_known_nodes"]) == len(self.servers)
            and int(self._info(node)["cluster_size"]) == self._counts[0]
            for node in self.servers
        )

    def _know_their_roles(self) -> bool:
        primaries, replicas = self._counts
        return all(
            sum("slave" in one["flags"] for one in self._nodes(node).values())
            == primaries * replicas
            for node in self.servers
        )

    def is_whole(self) -> bool:
        """Tell whether all nodes that run serve, and replicas copy from their primaries."""
        return all(
            self._info(node)["cluster_state"] == "ok"
            and (role_of(node) == "master" or in_step(node))
            for node in self.servers
            if node.running
        )

    def _info(self, node: RedisServer) -> dict[str, str]:
        with client(node) as admin:
            return dict(admin.execute_command("CLUSTER INFO"))

    def _nodes(self, node: RedisServer) -> dict[str, dict[str, Any]]:
        with client(node) as admin:
            return dict(admin.execute_command("CLUSTER NODES"))

    def id_of(self, node: RedisServer) -> str:
        """Return the name that a node has in the cluster."""
        with client(node) as admin:
            return str(admin.execute_command("CLUSTER MYID"), "ascii")

    def owner_of(self, key: bytes) -> RedisServer:
        """Return the node that a key lives on, as the first node that runs knows it."""
        running = next(node for node in self.servers if node.running)
        with client(running) as admin:
            slot = admin.execute_command("CLUSTER KEYSLOT", key)
        found = self._owner(slot, running)
        assert found is not None, "the slot has no owner"
        return found

    def _owner(self, slot: int, asked: RedisServer) -> RedisServer | None:
        with client(asked) as admin:
            for first, last, (_, port, *_), *_ in admin.execute_command("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return next(node for node in self.servers if node.port == port)
        return None

    def fail_over(self, replica: RedisServer) -> None:
        """Make a replica the primary whatever its primary thinks of it, and wait until it is.

        What the primary did not copy to it is lost.
        """
        with client(replica) as admin:
            admin.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
        until(lambda: role_of(replica) == "master", "the replica was not promoted")

    def move(self, key: bytes, target: RedisServer, *, keys: int | None = None) -> None:
        """Move the slot of a key to another primary.

        Args:
            key: any key of the slot.
            target: where to.
            keys: how many keys are moved; None: all of them, and the slot is the target's then.
        """
        source = self.owner_of(key)
        with client(source) as giver, client(target) as taker:
            slot = giver.execute_command("CLUSTER KEYSLOT", key)
            taker.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self.id_of(source))
            giver.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self.id_of(target))
            self.move_keys(slot, source, target, keys)
        if keys is None:
            self.settle_slot(slot, target)

    def move_keys(
        self, slot: int, source: RedisServer, target: RedisServer, most: int | None
    ) -> None:
        """Move keys of a slot that is under way."""
        login = ["AUTH", self._password] if self._password else []
        with client(source) as giver:
            while most is None or most > 0:
                found = giver.execute_command("CLUSTER GETKEYSINSLOT", slot, most or 100)
                if not found:
                    return
                giver.execute_command(
                    "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, *login, "KEYS", *found
                )
                most = None if most is None else most - len(found)

    def settle_slot(self, slot: int, target: RedisServer) -> None:
        """Give a slot to a node for good, and wait until every node knows."""
        name = self.id_of(target)
        others = [one for one in self.primaries if one is not target and one.running]
        for node in (target, *others):
            with client(node) as admin:
                if admin.info("replication")["role"] == "master":
                    admin.execute_command("CLUSTER SETSLOT", slot, "NODE", name)
        epoch = self._info(target)["cluster_my_epoch"]

        def all_know() -> bool:
            for node in self.servers:
                if node.running:
                    told = self._nodes(node)[f"127.0.0.1:{target.port}"]
                    # Until it knows the number of this change, an older message undoes it.
                    if told["epoch"] != epoch or self._owner(slot, node) is not target:
                        return False
            return True

        until(all_know, "the nodes do not agree on the slot")
