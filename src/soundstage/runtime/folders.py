"""The folders of a stage's embedded engines, as seen by a process that does not have them open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

import msgspec

from soundstage.core.errors import SoundstageError
from soundstage.runtime.config import StageConfig
from soundstage.runtime.engines import SCHEMES
from soundstage.runtime.openers import Place
from soundstage.runtime.urls import split_url

_MODULES = {"rocksdb": "soundstage.engines.records.rocksdb"}
"""Schemes whose folder can be repaired, and the module that has `repair` for it."""

_LOCKS = "soundstage.engines.rocks.folder"
"""The module that has `holder` for the folders of all embedded engines."""


class EngineFolder(NamedTuple):
    """The folder of the engine called `name`; `module` knows its ways."""

    name: str
    path: str
    module: str


class FolderHolder(NamedTuple):
    """Who has a folder open: a process and, once it serves, its address."""

    folder: str
    pid: int
    url: str | None


class Repaired(msgspec.Struct, frozen=True):
    """What was done to one folder."""

    engine: str
    folder: str
    method: str


def engine_folders(config: StageConfig) -> Iterator[EngineFolder]:
    """The folders of embedded engines, each once."""
    seen: set[str] = set()
    for place in _places(config):
        module = _MODULES.get(place.url.scheme)
        if module is not None and place.folder not in seen:
            seen.add(place.folder)
            yield EngineFolder(place.name, place.folder, module)


def absent(config: StageConfig) -> str | None:
    """That there is no folder, where embedded engines have none yet; None when one has, or when none needs any."""
    found = [place.folder for place in _places(config)]
    if not found or any(map(os.path.isdir, found)):
        return None
    if os.path.isdir(config.data):
        return f"the folder {config.data} holds no data of a stage"
    return f"there is no folder {config.data}"


def without_paths(text: str, config: StageConfig) -> str:
    """`text` for whoever may hear that something is wrong, and not where on this machine."""
    named = {place.folder: f"the folder of the engine {place.name!r}" for place in _places(config)}
    for data in (os.path.realpath(config.data), os.path.abspath(config.data)):
        named.setdefault(data, "the data folder")
    for path in sorted(named, key=len, reverse=True):
        text = text.replace(path, named[path])
    return text


def holder(config: StageConfig) -> FolderHolder | None:
    """The process that has a folder of this configuration open; None when nobody has.

    Where records have folders they tell: another stage may have one of files. Where they lie elsewhere, others do.
    """
    folders = [folder.path for folder in engine_folders(config)] or [place.folder for place in _places(config)]
    locks: Any = import_module(_LOCKS)
    for folder in folders:
        found = locks.holder(folder)
        if found is not None:
            return FolderHolder(folder, found.pid, found.url)
    return None


def repair(config: StageConfig, *, accept_loss: bool) -> list[Repaired]:
    """Every folder that can be saved opens again, without what was damaged.

    Raises `InvalidArgument` without `accept_loss`, and the engine's error for the first folder that is held
    or beyond saving.
    """
    done: list[Repaired] = []
    for folder in engine_folders(config):
        try:
            report: Any = import_module(folder.module).repair(folder.path, accept_loss=accept_loss)
        except SoundstageError as error:
            error.field = error.field or f"engines.{folder.name}"
            raise
        done.append(Repaired(folder.name, folder.path, report.method))
    return done


def _places(config: StageConfig) -> list[Place]:
    """The engines that have a folder of their own."""
    places = [Place(name, split_url(name, engine.url), config.data) for name, engine in config.engines.items()]
    return [place for place in places if (scheme := SCHEMES.get(place.url.scheme)) is not None and scheme.folder]
