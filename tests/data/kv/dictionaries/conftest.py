"""Namespaces that have a dictionary, on a clock that moves when told to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

import pytest
from tests.core.words import documents
from tests.data.kv.conftest import make, served

from soundstage.core.call import Call
from soundstage.core.compression import compress
from soundstage.core.dictionaries import Dictionary
from soundstage.core.environment import VirtualEnvironment
from soundstage.data.kv.api import (
    DictionariesDropped,
    DictionaryTrained,
    DropDictionaries,
    KeyValue,
    PutItem,
    TrainDictionary,
)
from soundstage.data.kv.service import KeyValueService
from soundstage.runtime.stage import Stage
from soundstage.runtime.work.context import JobContext

ZSTD = {"compression": {"codecs": ["zstd"]}}


class Unhurried:
    """What the code of a job is given, as far as it matters here."""

    def check(self) -> None:
        """It has the job."""

    def progress(self, *told: object) -> None:
        """Nobody looks."""


class Library:
    """The namespace `people` in process, whose values say what they are compressed with."""

    def __init__(self, stage: Stage, kv: KeyValue, environment: VirtualEnvironment) -> None:
        self.stage = stage
        self.kv = kv
        self.environment = environment
        self.contents: dict[str, Dictionary] = {}

    @property
    def service(self) -> KeyValueService:
        service = self.stage.systems.service("kv")
        assert isinstance(service, KeyValueService)
        return service

    async def fill(self, count: int = 300, seed: int = 1) -> None:
        """Documents as they are, in records of 100."""
        values = documents(count, seed)
        for first in range(0, count, 100):
            items = [PutItem(key=b"%03d" % at, value=value) for at, value in enumerate(values[first : first + 100])]
            await self.kv.put_items(id=f"r{first}", items=items)

    async def train(self, size: int = 2_048, name: str = "people") -> DictionaryTrained:
        request = TrainDictionary(namespace=name, size=size)
        await self.service.check_train_dictionary(Call(), request)
        return await self.service.train_dictionary(Call(), request, cast(JobContext, Unhurried()))

    async def drop(self) -> DictionariesDropped:
        request = DropDictionaries(namespace="people")
        await self.service.check_drop_dictionaries(Call(), request)
        return await self.service.drop_dictionaries(Call(), request, cast(JobContext, Unhurried()))

    async def put(self, codec: str, id: str = "ada", value: bytes = b"", ttl: str | None = None) -> bytes:
        """A value that is compressed with that dictionary."""
        if codec not in self.contents:
            reply = await self.kv.get_dictionary(codec=codec)
            self.contents[codec] = Dictionary(codec, reply.content)
        value = value or documents(1, seed=99)[0]
        frame = compress(codec, value, 3, self.contents[codec])
        await self.kv.put_items(id=id, items=[PutItem(key=b"k", value=frame, codec=codec)])
        return value

    async def get(self, id: str = "ada") -> bytes | None:
        return (await self.kv.get_items(id=id)).items[0].value

    async def states(self) -> dict[str, str]:
        return {each.codec: each.state for each in (await self.kv.list_dictionaries()).dictionaries}

    async def pass_time(self, hours: float) -> None:
        self.environment.advance(hours * 3_600)


MakeLibrary: TypeAlias = Callable[..., Awaitable[Library]]


@pytest.fixture
async def make_library(stage: Stage, environment: VirtualEnvironment) -> MakeLibrary:
    async def made(**knobs: object) -> Library:
        kv = await make(stage, "people", **{**ZSTD, **knobs})
        library = Library(stage, kv, environment)
        await kv.count_items(id="nobody")
        assert served(stage) is not None
        return library

    return made


@pytest.fixture
async def library(make_library: MakeLibrary) -> Library:
    """The namespace `people`, with values that have much in common, on each embedded engine in turn."""
    library = await make_library()
    await library.fill()
    return library
