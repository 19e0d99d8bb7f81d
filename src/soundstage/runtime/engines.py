"""The engines of a stage, opened by the scheme of their URL and known by name.

Third parties add schemes by the entry-point group `soundstage.engines`: the name is the scheme, the value a
function `(Place, EngineConfig, Environment) -> Records`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, get_args

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.core.names import nearest
from soundstage.core.time import NS_PER_S
from soundstage.engines.blobs.port import Blobs
from soundstage.engines.cache.port import Cache
from soundstage.engines.log.port import Log
from soundstage.engines.records.port import Records
from soundstage.engines.search.port import Search
from soundstage.engines.tables.port import Tables
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.openers import Engine, HostedPort, Place, Port, host_options, load
from soundstage.runtime.urls import split_url

log: logging.Logger = logging.getLogger("soundstage.runtime")

ENTRY_POINTS = "soundstage.engines"

START_PAUSE_S = 1.0
"""Between two tries to start an engine whose server cannot be reached yet."""

_CALLS: Mapping[Port, str] = {
    "records": "apply",
    "blobs": "put",
    "cache": "touch",
    "log": "append",
    "search": "delete_where",
    "tables": "overwrite",
}
"""What engines of a port have and others have not."""

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


_HERE = "soundstage.runtime.openers"

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
    "lru": Scheme({"cache": f"{_HERE}:open_memory_cache"}),
    "lfu": Scheme({"cache": f"{_HERE}:open_memory_cache"}),
    "memcached": Scheme({"cache": f"{_HERE}:open_memcached"}, shared=True),
    "opensearch": Scheme({"search": f"{_HERE}:open_opensearch"}, shared=True),
    "tantivy": Scheme({"search": f"{_HERE}:open_tantivy"}, extra="search", folder=True),
    "arrow": Scheme({"tables": f"{_HERE}:open_memory_tables"}, extra="tables"),
    "iceberg": Scheme({"tables": f"{_HERE}:open_iceberg"}, extra="tables", shared=True, folder=True),
    "iceberg+postgresql": Scheme({"tables": f"{_HERE}:open_shared_iceberg"}, extra="tables", shared=True),
    "host": Scheme(
        {
            "records": f"{_HERE}:open_host_records",
            "blobs": f"{_HERE}:open_host_blobs",
            "cache": f"{_HERE}:open_host_cache",
            "log": f"{_HERE}:open_host_log",
            "search": f"{_HERE}:open_host_search",
        },
        shared=True,
    ),
}


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
        self._environment = environment
        self._names = list(configs)
        self._awaited: dict[int, tuple[str, int]] = {}
        self._by_port: dict[Port, dict[str, Engine]] = {port: {} for port in _CALLS}
        self._started: list[Engine] = []
        self._shared: set[str] = set()
        self._places: dict[str, Place] = {}
        shared: dict[tuple[str, str, Port], tuple[str, EngineConfig, Engine]] = {}
        for name, config in configs.items():
            place = self._places[name] = Place(name, split_url(name, config.url), data)
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
                made = engine if fits else _opened(beside, port, config, environment, shared)
                self._by_port[port][name] = made
                if place.url.netloc:
                    self._awaited[id(made)] = (name, config.start_within)

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

    def beside(self, records: Records) -> Log | None:
        """The log of the engine that has those records; None where that has none."""
        logs = self._by_port["log"]
        names = (name for name, engine in self._by_port["records"].items() if engine is records and name in logs)
        return next((logs[name] for name in names), None)

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

    def distinct_tables(self) -> dict[str, Tables]:
        """Each engine of columnar tables once, by the first of its names."""
        return _distinct(self._by_port["tables"])

    def holding(self, port: Port) -> dict[str, Engine]:
        """Each engine of that port once, by the first of its names."""
        return _distinct(self._by_port[port])

    def is_shared(self, name: str) -> bool:
        """Whether other processes may have the engine open too."""
        return name in self._shared

    def scheme(self, name: str) -> str:
        """What the URL of that engine begins with."""
        return self._places[name].url.scheme

    def folder(self, name: str) -> str | None:
        """Where the engine keeps what it holds on this machine; None where it has no folder of its own."""
        scheme = SCHEMES.get(self.scheme(name))
        return self._places[name].folder if scheme is not None and scheme.folder else None

    def offered(self) -> dict[tuple[str, str], Engine]:
        """What other processes may use of this one, by port and name."""
        hosted = get_args(HostedPort)
        return {(port, name): engine for port in hosted for name, engine in self._by_port[port].items()}

    def everything(self) -> list[Engine]:
        """Each engine of each port once, in the order they start."""
        return [engine for by_name in self._by_port.values() for engine in _distinct(by_name).values()]

    async def start(self) -> None:
        """All are open; when one cannot be, those before it are closed again and its error is raised.

        A server that cannot be reached yet is waited for, as long as `start_within` of its engine says. What waiting
        does not mend, such as a wrong password, is raised at once.
        """
        for engine in self.everything():
            try:
                await self._begin(engine)
            except BaseException:
                await self.stop()
                raise
            self._started.append(engine)

    async def stop(self) -> None:
        """All are closed, the last opened first. Idempotent."""
        while self._started:
            await self._started.pop().stop()

    async def _begin(self, engine: Engine) -> None:
        name, within_ns = self._awaited.get(id(engine), ("", 0))
        ends_ns = self._environment.monotonic_ns() + within_ns
        while True:
            try:
                return await engine.start()
            except SoundstageError as error:
                left_s = (ends_ns - self._environment.monotonic_ns()) / NS_PER_S
                if not error.retryable or left_s <= 0:
                    raise
                log.warning("the engine %s is waited for, up to %.0f s more: %s", name, left_s, error.detail)
            await self._environment.sleep(START_PAUSE_S)

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
    its_query = split_url(first, its_config.url).query
    if place.url.query != its_query or msgspec.structs.astuple(config)[1:] != msgspec.structs.astuple(its_config)[1:]:
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
    return load(scheme.openers[port])


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
