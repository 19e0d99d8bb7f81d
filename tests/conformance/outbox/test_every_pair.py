"""The log first is held over every pair of engines that a stage can have of records and log."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from tests.conformance.outbox import test_pairs as real
from tests.testing.outbox import test_suite as embedded

from soundstage.runtime.engines import SCHEMES
from soundstage.runtime.openers import Port
from soundstage.testing.outbox import OutboxSuite

PAIRS: Mapping[tuple[str, str], type[OutboxSuite]] = {
    ("memory", "memory"): embedded.TestMemory,
    ("memory", "rocksdb"): embedded.TestLogOnDisk,
    ("memory", "kafka"): real.TestMemoryAndKafka,
    ("memory", "host"): embedded.TestRecordsInMemoryAndLogOfAnotherProcess,
    ("rocksdb", "memory"): embedded.TestRecordsOnDisk,
    ("rocksdb", "rocksdb"): embedded.TestOneDatabase,
    ("rocksdb", "kafka"): real.TestRocksAndKafka,
    ("rocksdb", "host"): embedded.TestRecordsOnDiskAndLogOfAnotherProcess,
    ("cassandra", "memory"): real.TestCassandraAndMemory,
    ("cassandra", "rocksdb"): real.TestCassandraAndRocks,
    ("cassandra", "kafka"): real.TestCassandraAndKafka,
    ("cassandra", "host"): real.TestCassandraAndRocksOfAnotherProcess,
    ("host", "memory"): embedded.TestRecordsOfAnotherProcessAndLogInMemory,
    ("host", "rocksdb"): embedded.TestRecordsOfAnotherProcessAndLogOnDisk,
    ("host", "kafka"): real.TestRocksOfAnotherProcessAndKafka,
    ("host", "host"): embedded.TestDatabaseOfAnotherProcess,
}
"""By the schemes of records and log."""


def offering(port: Port) -> list[str]:
    return [scheme for scheme, found in SCHEMES.items() if port in found.openers]


def test_every_pair_of_records_and_log_is_held_to_the_suite() -> None:
    assert set(PAIRS) == set(product(offering("records"), offering("log")))


def test_each_is_a_suite_of_its_own() -> None:
    assert len(set(PAIRS.values())) == len(PAIRS)
