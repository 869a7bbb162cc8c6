"""All faults."""

from __future__ import annotations

from tests.history import faults_databases, faults_fleet, faults_processes, faults_stores
from tests.history.fault import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for module in (faults_processes, faults_stores, faults_fleet, faults_databases)
    for fault in module.FAULTS
}
