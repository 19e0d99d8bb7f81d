"""How an engine is opened: one function for each scheme and port, loaded with its driver when an engine needs it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote

import msgspec
from msgspec import Meta

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.engines.blobs.port import Blobs
from soundstage.engines.cache.port import Cache
from soundstage.engines.log.port import Log
from soundstage.engines.options import read_options
from soundstage.engines.records.port import Capability, Records
from soundstage.engines.search.port import Search
from soundstage.engines.tables.port import Tables
from soundstage.runtime.config import EngineConfig

Port: TypeAlias = Literal["records", "blobs", "cache", "log", "search", "tables"]
HostedPort: TypeAlias = Literal["records", "blobs", "cache", "log", "search"]
"""Those that one process can use of another's."""

Engine: TypeAlias = Any
"""`Records`, `Blobs`, `Cache`, `Log`, `Search` or `Tables`, as the port says."""

HOST_SOCKET = "HOST"
"""Of the process that has a data folder open, in that folder, where it offers its engines to others."""


class Place(NamedTuple):
    """Where an engine is: its parsed URL, and the data folder that relative paths start from.

    `beside` are the engines for other ports that were opened there before, which may share what they stand on.
    """

    name: str
    url: SplitResult
    data: str
    beside: Mapping[Port, Engine] = MappingProxyType({})

    @property
    def folder(self) -> str:
        """The absolute path that the URL names: `scheme:///absolute`, or `scheme:relative` below the data folder."""
        if self.url.netloc or not self.url.path:
            raise InvalidArgument(
                f"the engine {self.name!r} names no folder",
                field=f"engines.{self.name}.url",
                hint=f"write {self.url.scheme}:///absolute/folder, or {self.url.scheme}:folder below the data folder",
            )
        return os.path.realpath(Path(self.data, unquote(self.url.path)))


class HostOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a `host:` engine. `engine` is its name in the process that has it, by default the same."""

    ports: Annotated[tuple[HostedPort, ...], Meta(description="what it holds", min_length=1)] = ("records",)
    engine: str | None = None


def open_memory(place: Place, config: EngineConfig, environment: Environment) -> Records:
    """An engine of its own that forgets everything when it stops."""
    _check_no_options(place, config)
    return load("soundstage.engines.records.memory:MemoryRecords")(environment)


def open_memory_blobs(place: Place, config: EngineConfig, environment: Environment) -> Blobs:
    """The same for blobs."""
    _check_no_options(place, config)
    return load("soundstage.engines.blobs.memory:MemoryBlobs")(environment)


def open_memory_cache(place: Place, config: EngineConfig, environment: Environment) -> Cache:
    """A cache of this process, of `cache` bytes, that evicts as its scheme says: `lru:` or `lfu:`."""
    module = "soundstage.engines.cache.memory"
    given = {"max_bytes": int(config.cache), "policy": place.url.scheme}
    options = _options(place, config, load(f"{module}:MemoryCacheOptions"), given)
    return load(f"{module}:MemoryCache")(environment, options)


def open_memory_search(place: Place, config: EngineConfig, environment: Environment) -> Search:
    """Indexes of this process that are gone when it stops."""
    _check_no_options(place, config)
    return load("soundstage.engines.search.memory:MemorySearch")(environment)


def open_memcached(place: Place, config: EngineConfig, environment: Environment) -> Cache:
    """The servers of the URL, whose query and `options` are those of `MemcachedOptions`."""
    return _open_at_address("soundstage.engines.cache.memcached", "open_memcached", place, config, environment)


def open_memory_log(place: Place, config: EngineConfig, environment: Environment) -> Log:
    """The same for the log."""
    _check_no_options(place, config)
    return load("soundstage.engines.log.memory:MemoryLog")(environment)


def open_files(place: Place, config: EngineConfig, environment: Environment) -> Blobs:
    """Blobs as files of the URL's folder; its query and `options` are those of `FileOptions`."""
    module = "soundstage.engines.blobs.file"
    given = {"durability": config.durability, "low_water": config.low_water}
    said = dict(parse_qsl(place.url.query, keep_blank_values=True))
    if keys := sorted(given.keys() & said.keys()):
        raise InvalidArgument(
            f"{keys[0]} is no option of the URL",
            field=f"engines.{place.name}.url",
            hint=f"write it as engines.{place.name}.{keys[0]}",
        )
    options = _options(place, config, load(f"{module}:FileOptions"), {**said, **config.options, **given})
    return load(f"{module}:FileBlobs")(place.folder, options, environment)


def open_s3(place: Place, config: EngineConfig, environment: Environment) -> Blobs:
    """Blobs as objects of the URL's bucket; its query and `options` are those of `S3Options`."""
    return _open_at_address("soundstage.engines.blobs.s3", "S3Blobs", place, config, environment)


def open_opensearch(place: Place, config: EngineConfig, environment: Environment) -> Search:
    """Indexes of the URL's space on a cluster; its query and `options` are those of `OpenSearchOptions`."""
    return _open_at_address("soundstage.engines.search.opensearch", "OpenSearchSearch", place, config, environment)


def open_tantivy(place: Place, config: EngineConfig, environment: Environment) -> Search:
    """Indexes in the folder of the URL; `options` are those of `TantivyOptions`."""
    package = "soundstage.engines.search.tantivy"
    options = _options(place, config, load(f"{package}:TantivyOptions"), {"low_water": config.low_water})
    return load(f"{package}:TantivySearch")(place.folder, options, environment)


def open_rocks(place: Place, config: EngineConfig, environment: Environment) -> Records:
    """The database in the folder of the URL; `options` are those of `RocksOptions`."""
    module = "soundstage.engines.records.rocksdb"
    given = {"durability": config.durability, "cache": config.cache, "low_water": config.low_water}
    options = _options(place, config, load(f"{module}:RocksOptions"), given)
    return load(f"{module}:open_rocksdb")(place.folder, options, environment)


def open_cassandra(place: Place, config: EngineConfig, environment: Environment) -> Records:
    """The tables in the keyspace of the URL, whose query and `options` are those of `CassandraOptions`."""
    return _open_at_address("soundstage.engines.records.cassandra", "open_cassandra", place, config, environment)


def open_rocks_log(place: Place, config: EngineConfig, environment: Environment) -> Log:
    """The log in the same database, so that one batch may hold records and entries."""
    records = place.beside["records"]
    return load("soundstage.engines.log.rocksdb:RocksLog")(records.database, environment, records.enlist)


def open_memory_tables(place: Place, config: EngineConfig, environment: Environment) -> Tables:
    """Tables of this process, forgotten when it ends."""
    _check_no_options(place, config)
    return load("soundstage.engines.tables.memory:MemoryTables")(environment)


def open_iceberg(place: Place, config: EngineConfig, environment: Environment) -> Tables:
    """Tables and their catalogue in the folder of the URL; `options` are those of `IcebergOptions`."""
    package = "soundstage.engines.tables.iceberg"
    address = load(f"{package}:embedded_address")(place.name, place.folder, config.options)
    return load(f"{package}:IcebergTables")(address, environment, durable=config.durability != "os")


def open_shared_iceberg(place: Place, config: EngineConfig, environment: Environment) -> Tables:
    """Tables whose catalogue is in the database of the URL; its query and `options` are those of `IcebergOptions`."""
    package = "soundstage.engines.tables.iceberg"
    parse = load(f"{package}:shared_address")
    address = parse(place.name, place.url, _secretly(config), config.password_file)
    return load(f"{package}:IcebergTables")(address, environment, durable=config.durability != "os")


def open_kafka(place: Place, config: EngineConfig, environment: Environment) -> Log:
    """Topics on the cluster of the URL, whose query and `options` are those of `KafkaOptions`."""
    return _open_at_address("soundstage.engines.log.kafka", "open_kafka_log", place, config, environment)


def open_host_records(place: Place, config: EngineConfig, environment: Environment) -> Records:
    """An engine of the process whose data folder the URL names (`host:`: this stage's); see `HostOptions`.

    It writes together with a log where it holds that, too.
    """
    alone = "log" not in host_options(place.name, config).ports
    return _open_host("records", place, config, environment, [Capability.ATOMIC_WITH_LOG] if alone else [])


def open_host_blobs(place: Place, config: EngineConfig, environment: Environment) -> Blobs:
    """The same for blobs."""
    return _open_host("blobs", place, config, environment)


def open_host_cache(place: Place, config: EngineConfig, environment: Environment) -> Cache:
    """The same for the cache, which need not be there when the stage starts."""
    socket, name = _host(place, config)
    return load("soundstage.engines.host:HostCache")(socket, name, environment)


def open_host_log(place: Place, config: EngineConfig, environment: Environment) -> Log:
    """The same for the log."""
    return _open_host("log", place, config, environment)


def open_host_search(place: Place, config: EngineConfig, environment: Environment) -> Search:
    """The same for indexes."""
    return _open_host("search", place, config, environment)


def _open_host(
    port: Port, place: Place, config: EngineConfig, environment: Environment, without: Sequence[str] = ()
) -> Any:
    socket, name = _host(place, config)
    return load("soundstage.engines.host:HostEngine")(socket, port, name, environment, without)


def _host(place: Place, config: EngineConfig) -> tuple[Path, str]:
    """The socket of the other process, and what it calls the engine."""
    folder = place.folder if place.url.path else os.path.realpath(place.data)
    return Path(folder, HOST_SOCKET), host_options(place.name, config).engine or place.name


def host_options(name: str, config: EngineConfig) -> HostOptions:
    """The options of the `host:` engine called `name`. Raises `InvalidArgument`."""
    return read_options(name, HostOptions, config.options)


def _open_at_address(package: str, opener: str, place: Place, config: EngineConfig, environment: Environment) -> Any:
    """What `opener` of a package makes of the URL's parts and the options, which its `parse_address` has read."""
    address = load(f"{package}:parse_address")(place.name, place.url, _secretly(config), config.password_file)
    return load(f"{package}:{opener}")(address, environment)


def _secretly(config: EngineConfig) -> Mapping[str, Any]:
    """The options, and which variable has the secret: it stands beside them in the stage file."""
    return config.options if config.password_env is None else {"password_env": config.password_env, **config.options}


def _check_no_options(place: Place, config: EngineConfig) -> None:
    if config.options:
        raise InvalidArgument("the memory engine has no options", field=f"engines.{place.name}.options")


def _options(place: Place, config: EngineConfig, options: type[Any], given: Mapping[str, Any]) -> Any:
    return read_options(place.name, options, {**config.options, **given})


def load(path: str) -> Any:
    """What `module:name` says, loaded only when an engine needs it."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
