"""Private servers for tests: started on a free port in a temporary folder, gone afterwards.

Each class is a context manager. A server ends with its ``with`` block, at the exit of the
interpreter, and, through a small watchdog process, when the test process is killed.
"""

from __future__ import annotations

from tests.servers.base import Server
from tests.servers.certificates import Certificates
from tests.servers.mariadb import MariaDBServer
from tests.servers.memcached import MemcachedServer
from tests.servers.pgbouncer import PgBouncerServer
from tests.servers.postgresql import PostgresReplica, PostgresServer
from tests.servers.programs import Unavailable, find_program, free_port, require, required
from tests.servers.redis import RedisServer
from tests.servers.redis_cluster import RedisCluster
from tests.servers.redis_groups import cut_replication, mend_replication
from tests.servers.redis_sentinel import RedisSentinels

__all__ = [
    "Certificates",
    "MariaDBServer",
    "MemcachedServer",
    "PgBouncerServer",
    "PostgresReplica",
    "PostgresServer",
    "RedisCluster",
    "RedisSentinels",
    "RedisServer",
    "Server",
    "Unavailable",
    "cut_replication",
    "find_program",
    "free_port",
    "mend_replication",
    "require",
    "required",
]
