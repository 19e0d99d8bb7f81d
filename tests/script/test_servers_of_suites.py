"""Every engine is held to its port in a suite that is run, and what suites start is installed before, and told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest
from lanes import SMALL_SERVERS
from run_suites import LIST, ROOT, SERVERS, read_suites

from soundstage.runtime.engines import SCHEMES
from soundstage.servers.catalogue import KINDS
from soundstage.testing.blobs import BlobsSuite
from soundstage.testing.cache import CacheSuite
from soundstage.testing.log import LogSuite
from soundstage.testing.records import RecordsSuite
from soundstage.testing.search import SearchSuite
from soundstage.testing.tables import TablesSuite

STARTED = re.compile(r"(?:\bCluster|\bserver_fixture)\(\s*\"(\w+)\"")

PORTS: Mapping[str, type] = {
    "records": RecordsSuite,
    "log": LogSuite,
    "cache": CacheSuite,
    "search": SearchSuite,
    "tables": TablesSuite,
    "blobs": BlobsSuite,
}

FOLDERS = {suite.command[-1]: suite.name for suite in read_suites(LIST.read_text()) if suite.command[0] == "pytest"}
"""The suites of tests by their folders."""


class Held(NamedTuple):
    """Where an engine is held to its port: the file, and the class of the tests."""

    file: str
    tests: str


ENGINES: Mapping[tuple[str, str], Held] = {
    ("memory", "records"): Held("tests/engines/records/test_memory.py", "TestMemory"),
    ("memory", "log"): Held("tests/engines/log/test_memory.py", "TestMemory"),
    ("memory", "search"): Held("tests/engines/search/test_memory.py", "TestMemory"),
    ("memory", "blobs"): Held("tests/engines/blobs/test_memory.py", "TestMemory"),
    ("rocksdb", "records"): Held("tests/engines/records/test_rocksdb.py", "TestGroup"),
    ("rocksdb", "log"): Held("tests/engines/log/test_rocksdb.py", "TestGroup"),
    ("cassandra", "records"): Held("tests/conformance/cassandra/test_records.py", "TestByPaxos"),
    ("kafka", "log"): Held("tests/conformance/kafka/test_log.py", "TestKafka"),
    ("lru", "cache"): Held("tests/engines/cache/test_memory.py", "TestMemory"),
    ("lfu", "cache"): Held("tests/engines/cache/test_memory.py", "TestLeastFrequentlyUsed"),
    ("memcached", "cache"): Held("tests/engines/cache/memcached/test_engine.py", "TestMemcached"),
    ("opensearch", "search"): Held("tests/conformance/opensearch/test_search.py", "TestOpenSearch"),
    ("tantivy", "search"): Held("tests/engines/search/tantivy/test_engine.py", "TestTantivy"),
    ("arrow", "tables"): Held("tests/engines/tables/test_memory.py", "TestMemory"),
    ("iceberg", "tables"): Held("tests/conformance/tables/test_embedded.py", "TestEmbedded"),
    ("iceberg+postgresql", "tables"): Held("tests/conformance/tables/test_shared.py", "TestShared"),
    ("file", "blobs"): Held("tests/engines/blobs/file/test_engine.py", "TestDurableFile"),
    ("s3", "blobs"): Held("tests/conformance/s3/test_engine.py", "TestS3"),
    ("host", "records"): Held("tests/engines/host/test_records.py", "TestRocks"),
    ("host", "log"): Held("tests/engines/host/test_log.py", "TestRocks"),
    ("host", "search"): Held("tests/engines/host/test_search.py", "TestMemory"),
    ("host", "blobs"): Held("tests/engines/host/test_blobs.py", "TestFile"),
    ("host", "cache"): Held("tests/engines/host/test_cache.py", "TestMemory"),
}
"""By scheme and port."""


def suite_of(file: str) -> str:
    """The suite that runs a file of tests."""
    (found,) = (name for folder, name in FOLDERS.items() if file.startswith(f"{folder}/"))
    return found


def name(engine: tuple[str, str]) -> str:
    return ":".join(engine)


def test_every_engine_is_held_to_its_port() -> None:
    assert set(ENGINES) == {(scheme, port) for scheme, found in SCHEMES.items() for port in found.openers}


@pytest.mark.parametrize("engine", ENGINES, ids=name)
def test_it_is_held_to_it_by_the_public_suite_in_a_suite_that_is_run(engine: tuple[str, str]) -> None:
    held = ENGINES[engine]
    module = import_module(held.file.removesuffix(".py").replace("/", "."))
    assert issubclass(getattr(module, held.tests), PORTS[engine[1]])
    assert suite_of(held.file)


@pytest.mark.parametrize("engine", ENGINES, ids=name)
def test_what_its_suite_needs_of_servers_is_brought_before(engine: tuple[str, str]) -> None:
    wanted = {part for part in engine[0].split("+") if part in {kind.name for kind in KINDS}}
    assert wanted <= set(SERVERS.get(suite_of(ENGINES[engine].file), ()))


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_the_tests_of_a_suite_start_is_brought_before(folder: str) -> None:
    started = {kind for path in Path(ROOT, folder).rglob("*.py") for kind in STARTED.findall(path.read_text())}
    assert started & {kind.name for kind in KINDS} <= set(SERVERS.get(FOLDERS[folder], ()))


def test_the_page_on_tests_says_which_suite_starts_what() -> None:
    text = (ROOT / "docs" / "testing.md").read_text().partition("## How CI runs it")[2].partition("\n## ")[0]
    kinds = {kind.name for kind in KINDS}
    told: dict[str, set[str]] = {}
    for first, second in re.findall(r"^\| (`.+?) \| (.+) \|$", text, re.MULTILINE):
        told |= {suite: kinds & set(re.findall(r"`(\w+)`", second)) for suite in re.findall(r"`(\w+)`", first)}
    assert told == {suite: set(found) for suite, found in SERVERS.items()}


def test_the_page_on_tests_says_which_servers_are_large() -> None:
    text = (ROOT / "docs" / "testing.md").read_text().partition("## How CI runs it")[2].partition("\n## ")[0]
    (line,) = (each for each in text.splitlines() if each.startswith("- **Large servers"))
    large = {kind.name for kind in KINDS} - SMALL_SERVERS
    assert {kind.name for kind in KINDS if kind.name in line.lower()} == large
