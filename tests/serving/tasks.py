"""Tasks of the site, for Celery's prefork workers."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init
from django import setup

from tests.serving.site import REGISTERS


def celery(broker: str, results: str) -> Celery:
    """Make the application that workers run, and that others send tasks with."""
    app = Celery("site", broker=broker, backend=results)
    app.conf.broker_connection_retry_on_startup = True
    app.conf.worker_prefetch_multiplier = 1
    return app


app = celery(os.environ.get("SITE_BROKER", "memory://"), os.environ.get("SITE_RESULTS", ""))


@worker_init.connect
def use_the_cache_before_the_fork(**kwargs: Any) -> None:
    """Have connections to the store open when the workers are forked."""
    setup()
    from django.db import connections

    from tests.serving import registers

    for register in range(REGISTERS):
        registers.write(register, 0)
    registers.read()
    connections.close_all()


@app.task(name="read")
def read() -> dict[str, Any]:
    from tests.serving import registers

    return registers.read()


@app.task(name="write")
def write(register: int, value: int) -> None:
    from tests.serving import registers

    registers.write(register, value)
