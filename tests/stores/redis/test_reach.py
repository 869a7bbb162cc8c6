"""How a server is reached: over TLS, as a user with few rights; and that it may be Valkey."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from querycache import stamps as protocol
from querycache.stores.base import Store, StoreError, StoreOptions
from querycache.stores.redis import RedisStore
from querycache.stores.redis_cluster import ClusterStore
from querycache.stores.redis_sentinel import SentinelStore
from tests.servers import (
    Certificates,
    RedisCluster,
    RedisSentinels,
    RedisServer,
    required,
)
from tests.servers.redis_groups import client
from tests.stores.calls import ENTRY, STAMP, every_call
from tests.stores.redis import test_cluster, test_contract, test_failures

_PAGE = Path(__file__).parents[3] / "docs/reference/stores.md"


def documented_rule() -> list[str]:
    """Return the rule for a user that the reference gives."""
    found = re.search(r"ACL SETUSER querycache (on .*?)\n\n", _PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1].split()


# -- TLS -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificates]:
    with required():
        made = Certificates(tmp_path_factory.mktemp("tls"))
    nothing = tmp_path_factory.mktemp("authorities")
    (nothing / "none.pem").touch()
    with pytest.MonkeyPatch.context() as patch:
        # redis-py has OpenSSL read all authorities that the machine knows for each connection.
        patch.setenv("SSL_CERT_FILE", str(nothing / "none.pem"))
        patch.setenv("SSL_CERT_DIR", str(nothing))
        yield made


@pytest.fixture(scope="module")
def tls_server(certificates: Certificates) -> Iterator[RedisServer]:
    with required():
        running = RedisServer(tls=certificates, password="s3same").start()
    with running:
        yield running


class TestRedisStoreOverTls(test_contract.TestRedisStore):
    @pytest.fixture
    def server(self, tls_server: RedisServer) -> RedisServer:
        return tls_server

    def test_fork_while_threads_use_the_store(self, store: Store) -> None:
        # docs/explanation/limits.md
        pytest.skip("a lock of OpenSSL that a thread holds is never let go of in a forked child")

    def test_authority_that_is_not_the_servers(self, server: RedisServer, tmp_path: Path) -> None:
        other = Certificates(tmp_path)
        url = re.sub("ssl_ca_certs=.*", f"ssl_ca_certs={other.ca}", server.url)
        store = RedisStore.from_url(url, StoreOptions(timeout=5.0))
        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            store.stamps([STAMP])
        assert "s3same" not in str(caught.value)

    def test_server_that_expects_tls(self, server: RedisServer) -> None:
        url = server.url.replace("rediss:", "redis:").partition("?")[0]
        store = RedisStore.from_url(url, StoreOptions(timeout=5.0))
        with pytest.raises(StoreError):
            store.stamps([STAMP])


def test_cluster_over_tls(certificates: Certificates) -> None:
    with RedisCluster(replicas=0, tls=certificates) as cluster:
        store = ClusterStore.from_url(cluster.url, StoreOptions(timeout=5.0))
        for entry in test_cluster.entries_everywhere(cluster):
            store.write(entry, b"v", None)
            assert store.read(entry, [STAMP])[0] == b"v"
        store.close()


# -- rights ----------------------------------------------------------------------------------------


def _as_user(server: RedisServer, rule: list[str], **more: str) -> str:
    name = "u" + secrets.token_hex(4)
    with client(server) as admin:
        admin.execute_command("ACL", "SETUSER", name, *rule)
    return f"unix://{name}:password@{server.socket}?db={more.get('db', '0')}"


class TestRedisStoreWithLeastRights(test_contract.TestRedisStore):
    """The documented rule is enough, over a unix socket."""

    @pytest.fixture
    def url(self, server: RedisServer) -> str:
        # The prefixes of the contract's tests begin so.
        return _as_user(server, ["~t*" if one == "~qc:*" else one for one in documented_rule()])


@pytest.mark.parametrize(
    "right", ["mget", "set", "mset", "get", "unlink", "eval", "evalsha", "scan", "time", "select"]
)
def test_no_right_is_in_the_rule_for_nothing(start: Callable[..., RedisServer], right: str) -> None:
    own = start()
    rule = documented_rule()
    for given in (rule, [one for one in rule if one != f"+{right}"]):
        with client(own) as admin:
            admin.flushall()
            admin.script_flush()
        store = RedisStore.from_url(_as_user(own, given, db="1"), StoreOptions(timeout=5.0))
        _refused(store.info)
        with redis.Redis(unix_socket_path=str(own.socket), db=1) as admin:
            admin.set(STAMP, protocol.settled(0, 0, bytes(16)))
        refused = [call for call in (*every_call(store), store.clock) if _refused(call)]
        assert bool(refused) == (given is not rule)
        store.close()


def _refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except StoreError:
        return True
    return False


def test_keys_of_others_are_out_of_reach(start: Callable[..., RedisServer]) -> None:
    own = start()
    options = StoreOptions(timeout=5.0)
    store = RedisStore.from_url(_as_user(own, documented_rule()), options, defer=False)
    store.write(ENTRY, b"v", None)
    for call in (lambda: store.read(b"other:e:x", []), lambda: store.delete(b"other:e:x")):
        with pytest.raises(StoreError, match="permission"):
            call()
    store.close()


def test_least_rights_on_a_cluster() -> None:
    with RedisCluster(replicas=0) as cluster:
        rule = [*documented_rule(), "~{qc:*", "+cluster|slots", "+asking"]
        for node in cluster.primaries:
            with client(node) as admin:
                admin.execute_command("ACL", "SETUSER", "querycache", *rule)
        url = cluster.url.replace("://", "://querycache:password@")
        store = ClusterStore.from_url(url, StoreOptions("qc:1", timeout=5.0))
        for call in (*every_call(store), store.clock):
            call()
        store.close()


def test_least_rights_on_sentinels() -> None:
    with RedisSentinels(replicas=0) as group:
        for sentinel in group.sentinels:
            with client(sentinel) as admin:
                rule = ("on", ">password", "resetchannels", "-@all", "+sentinel|master")
                admin.execute_command("ACL", "SETUSER", "asks", *rule)
        with client(group.primary) as admin:
            admin.execute_command("ACL", "SETUSER", "querycache", *documented_rule())
        url = group.url.replace("://", "://querycache:password@")
        url += "?sentinel_username=asks&sentinel_password=password"
        store = SentinelStore.from_url(url, StoreOptions(timeout=5.0))
        for call in (*every_call(store), store.clock):
            call()
        store.close()


# -- Valkey ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def valkey() -> Iterator[RedisServer]:
    with required():
        running = RedisServer(program=["valkey-server"]).start()
    with running:
        yield running


class TestRedisStoreOnValkey(test_contract.TestRedisStore):
    @pytest.fixture
    def server(self, valkey: RedisServer) -> RedisServer:
        return valkey

    @pytest.fixture
    def url(self, server: RedisServer) -> str:
        return server.url.replace("redis:", "valkey:")

    def test_it_says_what_it_is(self, store: Store) -> None:
        assert store.info().name.startswith("valkey ")
        assert int(store.info().version.split(".")[0]) >= 7


@pytest.mark.parametrize(
    "failure",
    [
        test_failures.test_restart_with_old_data,
        test_failures.test_promoted_replica,
        test_failures.test_primary_that_became_a_replica,
        test_failures.test_primary_that_was_a_replica_for_a_while,
    ],
)
def test_epoch_on_valkey(start: Callable[..., RedisServer], failure: Callable[..., None]) -> None:
    def start_valkey(**options: object) -> RedisServer:
        return start(program=["valkey-server"], **options)

    failure(start_valkey)
