"""Each engine has a page with its URL, its options, its capabilities and its limits."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import reference

from soundstage.runtime.engines import SCHEMES

DOCS = Path(__file__).resolve().parents[2] / "docs"


class Told(NamedTuple):
    """Where an engine is told of: the page, the part of it under that heading, and what its options are."""

    page: str
    limits: str = "Limits"
    options: str | None = None


ENGINES = {
    ("memory", "records"): Told("records-port.md"),
    ("memory", "log"): Told("log-port.md"),
    ("memory", "search"): Told("search-port.md"),
    ("memory", "blobs"): Told("blobs-port.md"),
    ("rocksdb", "records"): Told("rocksdb.md", options="soundstage.engines.records.rocksdb:RocksOptions"),
    ("rocksdb", "log"): Told("rocksdb.md", options="soundstage.engines.records.rocksdb:RocksOptions"),
    ("cassandra", "records"): Told(
        "cassandra.md", options="soundstage.engines.records.cassandra.options:CassandraOptions"
    ),
    ("kafka", "log"): Told("kafka.md", options="soundstage.engines.log.kafka.options:KafkaOptions"),
    ("lru", "cache"): Told("cache-port.md"),
    ("lfu", "cache"): Told("cache-port.md"),
    ("memcached", "cache"): Told("cache-port.md", options="soundstage.engines.cache.memcached:MemcachedOptions"),
    ("opensearch", "search"): Told(
        "opensearch.md", options="soundstage.engines.search.opensearch.options:OpenSearchOptions"
    ),
    ("tantivy", "search"): Told("search-port.md", options="soundstage.engines.search.tantivy:TantivyOptions"),
    ("arrow", "tables"): Told("tables-port.md"),
    ("iceberg", "tables"): Told("tables-port.md", options="soundstage.engines.tables.iceberg.options:IcebergOptions"),
    ("iceberg+postgresql", "tables"): Told(
        "tables-port.md", options="soundstage.engines.tables.iceberg.options:IcebergOptions"
    ),
    ("file", "blobs"): Told("blobs-port.md", options="soundstage.engines.blobs.file:FileOptions"),
    ("s3", "blobs"): Told("s3.md", options="soundstage.engines.blobs.s3.options:S3Options"),
    **{
        ("host", port): Told("processes.md", "Limits of `host:`", options="soundstage.runtime.openers:HostOptions")
        for port in ("records", "log", "search", "blobs", "cache")
    },
}
"""By scheme and port."""


def name(engine: tuple[str, str]) -> str:
    return ":".join(engine)


def text_of(engine: tuple[str, str]) -> str:
    return (DOCS / ENGINES[engine].page).read_text()


def options_of(engine: tuple[str, str]) -> tuple[str, ...]:
    path = ENGINES[engine].options
    if path is None:
        return ()
    module, _, struct = path.partition(":")
    found: Any = getattr(import_module(module), struct)
    return found.__struct_fields__


def capabilities_of(engine: tuple[str, str]) -> list[str]:
    scheme, port = engine
    url = next(each for each in reference.ENGINE_URLS if each.partition(":")[0] == scheme)
    return sorted(str(each) for each in reference.opened(url, port).capabilities)


def test_every_engine_is_told_of() -> None:
    assert set(ENGINES) == {(scheme, port) for scheme, found in SCHEMES.items() for port in found.openers}


@pytest.mark.parametrize("engine", ENGINES, ids=name)
def test_its_page_says_how_its_url_is_written(engine: tuple[str, str]) -> None:
    assert re.search(rf"[`\"]{re.escape(engine[0])}:", text_of(engine))


@pytest.mark.parametrize("engine", ENGINES, ids=name)
def test_its_page_has_all_its_options(engine: tuple[str, str]) -> None:
    text = text_of(engine)
    assert [option for option in options_of(engine) if f"`{option}`" not in text] == []


@pytest.mark.parametrize("engine", ENGINES, ids=name)
def test_its_page_has_all_its_capabilities(engine: tuple[str, str]) -> None:
    text = text_of(engine)
    assert [found for found in capabilities_of(engine) if f"`{found}`" not in text] == []


@pytest.mark.parametrize("engine", ENGINES, ids=name)
def test_its_page_has_its_limits(engine: tuple[str, str]) -> None:
    heading = re.escape(ENGINES[engine].limits)
    found = re.search(rf"^##+ {heading}\n\n(.+?)(?=^## |\Z)", text_of(engine), re.MULTILINE | re.DOTALL)
    assert found is not None
    assert re.search(r"\d|#limits", found[1])
