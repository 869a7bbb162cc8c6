"""`python -m tests.fuzz --inputs 1000000`: prints what was tried, and the first that fails."""

from __future__ import annotations

import argparse
import logging
import resource
import signal
import sys
import time
from typing import Any

from tests.fuzz.mutate import Mutator
from tests.fuzz.replies import MemcachedReplies, RedisReplies
from tests.fuzz.targets import Entries, Rows, Stamps, Statements, Target
from tests.fuzz.urls import Urls

TARGETS: tuple[type[Target], ...] = (
    Rows, Entries, Stamps, Statements, RedisReplies, MemcachedReplies, Urls,
)  # fmt: skip

#: Seconds that 64 inputs may take before one of them counts as one that never ends.
PATIENCE = 120
#: Bytes by which the memory of the process may grow over all inputs, which have 64 KB at most.
MEMORY = 256 << 20


class Failed(Exception):
    """An input that breaks a promise.

    Args:
        target: what broke it.
        data: the input.
    """

    def __init__(self, target: Target, data: bytes) -> None:
        super().__init__(f"{target.name} fails for bytes.fromhex({data.hex()!r})")


def run(target: Target, inputs: int, seed: int) -> int:
    """Try a target with so many inputs; returns how many it accepted.

    Raises:
        Failed: with the first input that breaks a promise.
    """
    mutator = Mutator(seed)
    accepted = 0
    before = _memory()
    default = signal.signal(signal.SIGALRM, _hangs)
    try:
        for number in range(inputs):
            data = target.make(mutator)
            if number % 64 == 0:
                signal.alarm(PATIENCE)
            try:
                accepted += target.check(data)
                if number % 64 == 0:
                    assert _memory() - before < MEMORY, "the memory grows"
            except Exception as error:
                raise Failed(target, data) from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, default)
    return accepted


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _hangs(*_: Any) -> None:
    raise AssertionError("it does not end")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="over all targets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=[target.name for target in TARGETS])
    options = parser.parse_args()
    # What is refused is logged as well.
    logging.disable()
    tried = 0
    for kind in TARGETS:
        if options.target not in (None, kind.name):
            continue
        inputs = options.inputs * (100 if options.target else kind.share) // 100
        begun = time.monotonic()
        try:
            accepted = run(kind(), inputs, options.seed)
        except Failed as failure:
            print(failure)
            raise
        tried += inputs
        print(
            f"{kind.name:<10} {inputs:>9} inputs, {accepted:>8} accepted,"
            f" {time.monotonic() - begun:6.0f} s",
            flush=True,
        )
    print(f"{tried} inputs with seed {options.seed}, none breaks a promise")
    return 0


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    sys.exit(main())
