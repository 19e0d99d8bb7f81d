"""The engines of a stage, opened by the scheme of their URL and known by name.

Third parties add schemes by the entry-point group `soundstage.engines`: the name is the scheme, the value a
function `(Place, EngineConfig, Environment) -> Records`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import SplitResult, unquote

import msgspec

from soundstage.core.codec import convert
from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.core.names import nearest
from soundstage.engines.records.port import Records
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.urls import split_url

ENTRY_POINTS = "soundstage.engines"


class Place(NamedTuple):
    """Where an engine is: its parsed URL, and the data folder that relative paths start from."""

    name: str
    url: SplitResult
    data: str

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


Opener: TypeAlias = Callable[[Place, EngineConfig, Environment], Records]


class Scheme(NamedTuple):
    """How engines of one scheme are opened; `extra` is what must be installed for it."""

    opener: str
    extra: str | None = None


SCHEMES: Mapping[str, Scheme] = {
    "memory": Scheme("soundstage.runtime.engines:open_memory"),
    "rocksdb": Scheme("soundstage.runtime.engines:open_rocks"),
}


def open_memory(place: Place, config: EngineConfig, environment: Environment) -> Records:
    """An engine of its own that forgets everything when it stops."""
    if config.options:
        raise InvalidArgument("the memory engine has no options", field=f"engines.{place.name}.options")
    return _load("soundstage.engines.records.memory:MemoryRecords")(environment)


def open_rocks(place: Place, config: EngineConfig, environment: Environment) -> Records:
    """The database in the folder of the URL; `options` are those of `RocksOptions`."""
    module = "soundstage.engines.records.rocksdb"
    options: type[Any] = _load(f"{module}:RocksOptions")
    given: dict[str, Any] = {"durability": config.durability, "cache": config.cache, "low_water": config.low_water}
    try:
        converted = convert({**config.options, **given}, options)
    except InvalidArgument as error:
        field = f"engines.{place.name}.options.{error.field}"
        raise InvalidArgument(error.detail, field=field, hint=error.hint) from None
    return _load(f"{module}:open_rocksdb")(place.folder, converted, environment)


class Engines:
    """The named engines of a stage, started together and stopped in reverse."""

    def __init__(
        self,
        configs: Mapping[str, EngineConfig],
        data: str,
        environment: Environment,
        given: Mapping[str, Records] = MappingProxyType({}),
    ) -> None:
        self._by_name: dict[str, Records] = {}
        self._started: list[Records] = []
        shared: dict[tuple[str, str], tuple[str, EngineConfig, Records]] = {}
        for name, config in configs.items():
            place = Place(name, split_url(name, config.url), data)
            self._by_name[name] = given.get(name) or _opened(place, config, environment, shared)

    def __getitem__(self, name: str) -> Records:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def get(self, name: str, field: str) -> Records:
        """The engine of that name; `InvalidArgument` for `field` with the nearest name otherwise."""
        engine = self._by_name.get(name)
        if engine is not None:
            return engine
        close = nearest(name, self._by_name)
        hint = f"did you mean {close!r}?" if close else f"engines of the stage file are {', '.join(self._by_name)}"
        raise InvalidArgument(f"there is no engine {name!r}", field=field, hint=hint)

    def distinct(self) -> dict[str, Records]:
        """Each engine once, by the first of its names."""
        found: dict[int, tuple[str, Records]] = {}
        for name, engine in self._by_name.items():
            found.setdefault(id(engine), (name, engine))
        return dict(found.values())

    async def start(self) -> None:
        """All are open; when one cannot be, those before it are closed again and its error is raised."""
        for engine in self.distinct().values():
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


def _opened(
    place: Place,
    config: EngineConfig,
    environment: Environment,
    shared: dict[tuple[str, str], tuple[str, EngineConfig, Records]],
) -> Records:
    """The engine at `place`; names with the same folder share one, for a folder has one owner."""
    if place.url.scheme == "memory" or place.url.netloc:
        return _open(place, config, environment)
    _opener(place)
    key = (place.url.scheme, place.folder)
    known = shared.get(key)
    if known is None:
        engine = _open(place, config, environment)
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


def _open(place: Place, config: EngineConfig, environment: Environment) -> Records:
    scheme = SCHEMES.get(place.url.scheme)
    try:
        return _opener(place)(place, config, environment)
    except ModuleNotFoundError as error:
        if scheme is None or scheme.extra is None:
            raise
        raise InvalidArgument(
            f"the engine {place.name!r} needs the package {error.name!r}",
            field=f"engines.{place.name}.url",
            hint=f'pip install "soundstage[{scheme.extra}]"',
        ) from None


def _opener(place: Place) -> Opener:
    scheme = SCHEMES.get(place.url.scheme)
    if scheme is None:
        return _third_party(place)
    return _load(scheme.opener)


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
    raise InvalidArgument(
        f"the URL of engine {place.name!r} has the unknown scheme {place.url.scheme!r}",
        field=f"engines.{place.name}.url",
        hint=f"known schemes: {', '.join(known)}",
    )
