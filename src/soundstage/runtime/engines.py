"""The engines of a stage, opened by the scheme of their URL and known by name.

Third parties add schemes by the entry-point group `soundstage.engines`: the name is the scheme, the value a
function `(Place, EngineConfig, Environment) -> Records`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args
from urllib.parse import SplitResult, unquote

import msgspec
from msgspec import Meta

from soundstage.core.codec import convert
from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.core.names import nearest
from soundstage.engines.blobs.port import Blobs
from soundstage.engines.cache.port import Cache
from soundstage.engines.log.port import Log
from soundstage.engines.records.port import Records
from soundstage.engines.search.port import Search
from soundstage.engines.tables.port import Tables
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.urls import split_url

ENTRY_POINTS = "soundstage.engines"


Port: TypeAlias = Literal["records", "blobs", "cache", "log", "search", "tables"]
HostedPort: TypeAlias = Literal["records", "blobs", "log", "search"]
"""Those that one process can use of another's."""

_CALLS: Mapping[Port, str] = {
    "records": "apply",
    "blobs": "put",
    "cache": "touch",
    "log": "append",
    "search": "delete_where",
    "tables": "overwrite",
}
"""What engines of a port have and others have not."""

Engine: TypeAlias = Any
"""`Records`, `Blobs`, `Cache`, `Log`, `Search` or `Tables`, as the port says."""


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


Opener: TypeAlias = Callable[[Place, EngineConfig, Environment], Engine]


class Scheme(NamedTuple):
    """How engines of one scheme are opened, for each port they offer; `extra` is what must be installed for it.

    `shared` engines may be open in several processes at once. One with a `folder` keeps what it
    holds in one of its own.
    """

    openers: Mapping[Port, str]
    extra: str | None = None
    shared: bool = False
    folder: bool = False


_HERE = "soundstage.runtime.engines"

HOST_SOCKET = "HOST"
"""Of the process that has a data folder open, in that folder, where it offers its engines to others."""

SCHEMES: Mapping[str, Scheme] = {
    "memory": Scheme(
        {
            "records": f"{_HERE}:open_memory",
            "blobs": f"{_HERE}:open_memory_blobs",
            "log": f"{_HERE}:open_memory_log",
            "search": f"{_HERE}:open_memory_search",
        }
    ),
    "rocksdb": Scheme({"records": f"{_HERE}:open_rocks", "log": f"{_HERE}:open_rocks_log"}, folder=True),
    "cassandra": Scheme({"records": f"{_HERE}:open_cassandra"}, extra="cassandra", shared=True),
    "kafka": Scheme({"log": f"{_HERE}:open_kafka"}, extra="kafka", shared=True),
    "file": Scheme({"blobs": f"{_HERE}:open_files"}, folder=True),
    "s3": Scheme({"blobs": f"{_HERE}:open_s3"}, extra="s3", shared=True),
    "lru": Scheme({"cache": f"{_HERE}:open_memory_cache"}, shared=True),
    "lfu": Scheme({"cache": f"{_HERE}:open_memory_cache"}, shared=True),
    "memcached": Scheme({"cache": f"{_HERE}:open_memcached"}, shared=True),
    "opensearch": Scheme({"search": f"{_HERE}:open_opensearch"}, shared=True),
    "tantivy": Scheme({"search": f"{_HERE}:open_tantivy"}, extra="search", folder=True),
    "arrow": Scheme({"tables": f"{_HERE}:open_memory_tables"}, extra="tables"),
    "iceberg": Scheme({"tables": f"{_HERE}:open_iceberg"}, extra="tables", folder=True),
    "iceberg+postgresql": Scheme({"tables": f"{_HERE}:open_shared_iceberg"}, extra="tables", shared=True),
    "host": Scheme(
        {
            "records": f"{_HERE}:open_host_records",
            "blobs": f"{_HERE}:open_host_blobs",
            "log": f"{_HERE}:open_host_log",
            "search": f"{_HERE}:open_host_search",
        },
        shared=True,
    ),
}


class HostOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a `host:` engine. `engine` is its name in the process that has it, by default the same."""

    ports: Annotated[tuple[HostedPort, ...], Meta(description="what it holds", min_length=1)] = ("records",)
    engine: str | None = None


def open_memory(place: Place, config: EngineConfig, environment: Environment) -> Records:
    """An engine of its own that forgets everything when it stops."""
    _check_no_options(place, config)
    return _load("soundstage.engines.records.memory:MemoryRecords")(environment)


def open_memory_blobs(place: Place, config: EngineConfig, environment: Environment) -> Blobs:
    """The same for blobs."""
    _check_no_options(place, config)
    return _load("soundstage.engines.blobs.memory:MemoryBlobs")(environment)


def open_memory_cache(place: Place, config: EngineConfig, environment: Environment) -> Cache:
    """A cache of this process, of `cache` bytes, that evicts as its scheme says: `lru:` or `lfu:`."""
    module = "soundstage.engines.cache.memory"
    given = {"max_bytes": int(config.cache), "policy": place.url.scheme}
    options = _options(place, config, _load(f"{module}:MemoryCacheOptions"), given)
    return _load(f"{module}:MemoryCache")(environment, options)


def open_memory_search(place: Place, config: EngineConfig, environment: Environment) -> Search:
    """Indexes of this process that are gone when it stops."""
    _check_no_options(place, config)
    return _load("soundstage.engines.search.memory:MemorySearch")(environment)


def open_memcached(place: Place, config: EngineConfig, environment: Environment) -> Cache:
    """The servers of the URL, `memcached://host:port,host:port`; `options` are those of `MemcachedOptions`."""
    module = "soundstage.engines.cache.memcached"
    options = _options(place, config, _load(f"{module}:MemcachedOptions"), {})
    try:
        places = _load(f"{module}:addresses")(place.url.netloc)
    except InvalidArgument as error:
        raise InvalidArgument(error.detail, field=f"engines.{place.name}.url", hint=error.hint) from None
    return _load(f"{module}:MemcachedCache")(places, environment, options)


def open_memory_log(place: Place, config: EngineConfig, environment: Environment) -> Log:
    """The same for the log."""
    _check_no_options(place, config)
    return _load("soundstage.engines.log.memory:MemoryLog")(environment)


def open_files(place: Place, config: EngineConfig, environment: Environment) -> Blobs:
    """Blobs as files of the URL's folder; `options` are those of `FileOptions`."""
    module = "soundstage.engines.blobs.file"
    given = {"durability": config.durability, "low_water": config.low_water}
    options = _options(place, config, _load(f"{module}:FileOptions"), given)
    return _load(f"{module}:FileBlobs")(place.folder, options, environment)


def open_s3(place: Place, config: EngineConfig, environment: Environment) -> Blobs:
    """Blobs as objects of the URL's bucket; its query and `options` are those of `S3Options`."""
    package = "soundstage.engines.blobs.s3"
    address = _load(f"{package}:parse_address")(place.name, place.url, config.options, config.password_file)
    return _load(f"{package}:S3Blobs")(address, environment)


def open_opensearch(place: Place, config: EngineConfig, environment: Environment) -> Search:
    """Indexes of the URL's space on a cluster; its query and `options` are those of `OpenSearchOptions`."""
    package = "soundstage.engines.search.opensearch"
    address = _load(f"{package}:parse_address")(place.name, place.url, config.options, config.password_file)
    return _load(f"{package}:OpenSearchSearch")(address, environment)


def open_tantivy(place: Place, config: EngineConfig, environment: Environment) -> Search:
    """Indexes in the folder of the URL; `options` are those of `TantivyOptions`."""
    package = "soundstage.engines.search.tantivy"
    options = _options(place, config, _load(f"{package}:TantivyOptions"), {"low_water": config.low_water})
    return _load(f"{package}:TantivySearch")(place.folder, options, environment)


def open_rocks(place: Place, config: EngineConfig, environment: Environment) -> Records:
    """The database in the folder of the URL; `options` are those of `RocksOptions`."""
    module = "soundstage.engines.records.rocksdb"
    given = {"durability": config.durability, "cache": config.cache, "low_water": config.low_water}
    options = _options(place, config, _load(f"{module}:RocksOptions"), given)
    return _load(f"{module}:open_rocksdb")(place.folder, options, environment)


def open_cassandra(place: Place, config: EngineConfig, environment: Environment) -> Records:
    """The tables in the keyspace of the URL, whose query and `options` are those of `CassandraOptions`."""
    package = "soundstage.engines.records.cassandra"
    parse = _load(f"{package}:parse_address")
    address = parse(place.name, place.url, config.options, config.password_file)
    return _load(f"{package}:open_cassandra")(address, environment)


def open_rocks_log(place: Place, config: EngineConfig, environment: Environment) -> Log:
    """The log in the same database, so that one batch may hold records and entries."""
    records = place.beside["records"]
    return _load("soundstage.engines.log.rocksdb:RocksLog")(records.database, environment, records.enlist)


def open_memory_tables(place: Place, config: EngineConfig, environment: Environment) -> Tables:
    """Tables of this process, forgotten when it ends."""
    _check_no_options(place, config)
    return _load("soundstage.engines.tables.memory:MemoryTables")(environment)


def open_iceberg(place: Place, config: EngineConfig, environment: Environment) -> Tables:
    """Tables and their catalogue in the folder of the URL; `options` are those of `IcebergOptions`."""
    package = "soundstage.engines.tables.iceberg"
    address = _load(f"{package}:embedded_address")(place.name, place.folder, config.options)
    return _load(f"{package}:IcebergTables")(address, environment, durable=config.durability != "os")


def open_shared_iceberg(place: Place, config: EngineConfig, environment: Environment) -> Tables:
    """Tables whose catalogue is in the database of the URL; its query and `options` are those of `IcebergOptions`."""
    package = "soundstage.engines.tables.iceberg"
    parse = _load(f"{package}:shared_address")
    address = parse(place.name, place.url, config.options, config.password_file)
    return _load(f"{package}:IcebergTables")(address, environment, durable=config.durability != "os")


def open_kafka(place: Place, config: EngineConfig, environment: Environment) -> Log:
    """Topics on the cluster of the URL, whose query and `options` are those of `KafkaOptions`."""
    package = "soundstage.engines.log.kafka"
    address = _load(f"{package}:parse_address")(place.name, place.url, config.options, config.password_file)
    return _load(f"{package}:open_kafka_log")(address, environment)


def open_host_records(place: Place, config: EngineConfig, environment: Environment) -> Records:
    """An engine of the process whose data folder the URL names (`host:`: this stage's); see `HostOptions`."""
    return _open_host("records", place, config, environment)


def open_host_blobs(place: Place, config: EngineConfig, environment: Environment) -> Blobs:
    """The same for blobs."""
    return _open_host("blobs", place, config, environment)


def open_host_log(place: Place, config: EngineConfig, environment: Environment) -> Log:
    """The same for the log."""
    return _open_host("log", place, config, environment)


def open_host_search(place: Place, config: EngineConfig, environment: Environment) -> Search:
    """The same for indexes."""
    return _open_host("search", place, config, environment)


def _open_host(port: Port, place: Place, config: EngineConfig, environment: Environment) -> Any:
    folder = place.folder if place.url.path else os.path.realpath(place.data)
    name = host_options(place.name, config).engine or place.name
    return _load("soundstage.engines.host:HostEngine")(Path(folder, HOST_SOCKET), port, name, environment)


def host_options(name: str, config: EngineConfig) -> HostOptions:
    """The options of the `host:` engine called `name`. Raises `InvalidArgument`."""
    try:
        return convert(config.options, HostOptions)
    except InvalidArgument as error:
        field = f"engines.{name}.options.{error.field}"
        raise InvalidArgument(error.detail, field=field, hint=error.hint) from None


def _check_no_options(place: Place, config: EngineConfig) -> None:
    if config.options:
        raise InvalidArgument("the memory engine has no options", field=f"engines.{place.name}.options")


def _options(place: Place, config: EngineConfig, options: type[Any], given: Mapping[str, Any]) -> Any:
    try:
        return convert({**config.options, **given}, options)
    except InvalidArgument as error:
        field = f"engines.{place.name}.options.{error.field}"
        raise InvalidArgument(error.detail, field=field, hint=error.hint) from None


class Engines:
    """The named engines of a stage, started together and stopped in reverse.

    A name offers the ports of its URL's scheme. Iterating gives all names, `names` those of one port.
    """

    def __init__(
        self,
        configs: Mapping[str, EngineConfig],
        data: str,
        environment: Environment,
        given: Mapping[str, Records | Blobs] = MappingProxyType({}),
    ) -> None:
        self._names = list(configs)
        self._by_port: dict[Port, dict[str, Engine]] = {port: {} for port in _CALLS}
        self._started: list[Engine] = []
        self._shared: set[str] = set()
        shared: dict[tuple[str, str, Port], tuple[str, EngineConfig, Engine]] = {}
        for name, config in configs.items():
            place = Place(name, split_url(name, config.url), data)
            scheme = SCHEMES.get(place.url.scheme)
            if scheme is not None and scheme.shared:
                self._shared.add(name)
            for port in _ports(place, config):
                engine = given.get(name)
                fits = engine is not None and hasattr(engine, _CALLS[port])
                if engine is not None and port == "log" and not fits and place.url.scheme != "memory":
                    # What is given stands in for the folder, which stays closed.
                    continue
                beside = place._replace(beside=self.ports(name))
                self._by_port[port][name] = engine if fits else _opened(beside, port, config, environment, shared)

    def __getitem__(self, name: str) -> Engine:
        """An engine of that name, of whatever port."""
        return next(by_name[name] for by_name in self._by_port.values() if name in by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def ports(self, name: str) -> dict[Port, Engine]:
        """What stands behind a name, by the port it offers."""
        return {port: by_name[name] for port, by_name in self._by_port.items() if name in by_name}

    def get(self, name: str, field: str) -> Records:
        """The records engine of that name; `InvalidArgument` for `field` with the nearest name otherwise."""
        return self._get("records", name, field)

    def blobs(self, name: str, field: str) -> Blobs:
        """The blobs engine of that name; `InvalidArgument` as for `get`."""
        return self._get("blobs", name, field)

    def cache(self, name: str, field: str) -> Cache:
        """The cache engine of that name; `InvalidArgument` as for `get`."""
        return self._get("cache", name, field)

    def log(self, name: str, field: str) -> Log:
        """The log engine of that name; `InvalidArgument` as for `get`."""
        return self._get("log", name, field)

    def search(self, name: str, field: str) -> Search:
        """The search engine of that name; `InvalidArgument` as for `get`."""
        return self._get("search", name, field)

    def tables(self, name: str, field: str) -> Tables:
        """The tables engine of that name; `InvalidArgument` as for `get`."""
        return self._get("tables", name, field)

    def distinct(self) -> dict[str, Records]:
        """Each records engine once, by the first of its names."""
        return _distinct(self._by_port["records"])

    def distinct_blobs(self) -> dict[str, Blobs]:
        """Each blobs engine once, by the first of its names."""
        return _distinct(self._by_port["blobs"])

    def distinct_logs(self) -> dict[str, Log]:
        """Each log engine once, by the first of its names."""
        return _distinct(self._by_port["log"])

    def is_shared(self, name: str) -> bool:
        """Whether other processes may have the engine open too."""
        return name in self._shared

    def offered(self) -> dict[tuple[str, str], Engine]:
        """What other processes may use of this one, by port and name."""
        hosted = get_args(HostedPort)
        return {(port, name): engine for port in hosted for name, engine in self._by_port[port].items()}

    def everything(self) -> list[Engine]:
        """Each engine of each port once, in the order they start."""
        return [engine for by_name in self._by_port.values() for engine in _distinct(by_name).values()]

    async def start(self) -> None:
        """All are open; when one cannot be, those before it are closed again and its error is raised."""
        for engine in self.everything():
            try:
                await engine.start()
            except BaseException:
                await self.stop()
                raise
            self._started.append(engine)

    async def stop(self) -> None:
        """All are closed, the last opened first. Idempotent."""
        while self._started:
            await self._started.pop().stop()

    def _get(self, port: Port, name: str, field: str) -> Engine:
        by_name = self._by_port[port]
        engine = by_name.get(name)
        if engine is not None:
            return engine
        if name in self._names:
            hint = f"engines for {port} are {', '.join(by_name) or 'none'}"
            raise InvalidArgument(f"the engine {name!r} holds no {port}", field=field, hint=hint)
        close = nearest(name, by_name)
        hint = f"did you mean {close!r}?" if close else f"engines of the stage file are {', '.join(self._names)}"
        raise InvalidArgument(f"there is no engine {name!r}", field=field, hint=hint)


def _distinct(by_name: Mapping[str, Engine]) -> dict[str, Engine]:
    found: dict[int, tuple[str, Engine]] = {}
    for name, engine in by_name.items():
        found.setdefault(id(engine), (name, engine))
    return dict(found.values())


def _ports(place: Place, config: EngineConfig) -> Iterable[Port]:
    scheme = SCHEMES.get(place.url.scheme)
    if place.url.scheme == "host":
        return host_options(place.name, config).ports
    return ("records",) if scheme is None else scheme.openers


def _opened(
    place: Place,
    port: Port,
    config: EngineConfig,
    environment: Environment,
    shared: dict[tuple[str, str, Port], tuple[str, EngineConfig, Engine]],
) -> Engine:
    """The engine at `place`; names with the same folder share one, for a folder has one owner."""
    scheme = SCHEMES.get(place.url.scheme)
    if place.url.netloc or (scheme is not None and not scheme.folder):
        return _open(place, port, config, environment)
    _opener(place, port)
    key = (place.url.scheme, place.folder, port)
    known = shared.get(key)
    if known is None:
        engine = _open(place, port, config, environment)
        shared[key] = (place.name, config, engine)
        return engine
    first, its_config, engine = known
    if msgspec.structs.astuple(config)[1:] != msgspec.structs.astuple(its_config)[1:]:
        raise InvalidArgument(
            f"the engines {first!r} and {place.name!r} share the folder {place.folder} but not their settings",
            field=f"engines.{place.name}",
            hint="give both the same settings, or folders of their own",
        )
    return engine


def _open(place: Place, port: Port, config: EngineConfig, environment: Environment) -> Engine:
    scheme = SCHEMES.get(place.url.scheme)
    try:
        return _opener(place, port)(place, config, environment)
    except ModuleNotFoundError as error:
        if scheme is None or scheme.extra is None:
            raise
        raise InvalidArgument(
            f"the engine {place.name!r} needs the package {error.name!r}",
            field=f"engines.{place.name}.url",
            hint=f'pip install "soundstage[{scheme.extra}]"',
        ) from None


def _opener(place: Place, port: Port) -> Opener:
    scheme = SCHEMES.get(place.url.scheme)
    if scheme is None:
        return _third_party(place)
    return _load(scheme.openers[port])


def _load(path: str) -> Any:
    """What `module:name` says, loaded only when an engine needs it."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _third_party(place: Place) -> Opener:
    from importlib.metadata import entry_points

    points = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    point = points.get(place.url.scheme)
    if point is not None:
        return point.load()
    missing = [f'{name} (pip install "soundstage[{known.extra}]")' for name, known in SCHEMES.items() if known.extra]
    known = [name for name, scheme in SCHEMES.items() if not scheme.extra] + missing + sorted(points)
    whole = "" if place.url.scheme else "write SCHEME:FOLDER, such as rocksdb:records; "
    raise InvalidArgument(
        f"the URL of engine {place.name!r} has the unknown scheme {place.url.scheme!r}",
        field=f"engines.{place.name}.url",
        hint=f"{whole}known schemes: {', '.join(known)}",
    )
