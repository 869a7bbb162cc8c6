"""Names of places and of processes."""

from __future__ import annotations

import os

from querycache.stores import places


def test_names_of_processes() -> None:
    mine = f"memory qc of {places.process()}"
    assert str(os.getpid()) in mine
    assert not places.is_over(mine)
    assert places.is_over(mine.replace(f" of {places._started(os.getpid())} ", " of 1 "))
    # Another machine's processes are not seen from here.
    assert not places.is_over(mine.replace(places.machine(), "elsewhere"))
    assert not places.is_over("redis 10.0.0.5:6379")


def test_addresses_that_mean_another_place_on_each_machine_name_theirs() -> None:
    for address in ("localhost:6379", "127.0.0.1:1", "[::1]:1", "/run/redis.sock"):
        assert places.reached(address) == f"{address} on {places.machine()}"
    assert places.reached("10.0.0.5:6379") == "10.0.0.5:6379"
