"""The operations on dictionaries, as the system `kv` offers them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgspec

from soundstage.core.call import Call
from soundstage.core.compression import ZSTD
from soundstage.core.dictionaries import Dictionary, needs_dictionary
from soundstage.core.errors import DataLoss, Exhausted, NotFound, PreconditionFailed
from soundstage.core.time import Instant
from soundstage.data.kv.api import (
    DictionariesDropped,
    DictionaryInfo,
    DictionaryTrained,
    DropDictionaries,
    GetDictionary,
    GetDictionaryReply,
    ListDictionaries,
    ListDictionariesReply,
    RetireDictionary,
    RetireDictionaryReply,
    TrainDictionary,
)
from soundstage.data.kv.dictionaries.dropping import check_decided, drop
from soundstage.data.kv.dictionaries.training import Trained, Wanted, sampled, trained
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.shelf import DICTIONARIES_MAX, Entry, content_of
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.work.context import JobContext


class DictionaryCalls:
    """The handlers, of which the service of the system is made too."""

    def __init__(self, context: ServiceContext, serve: Callable[[str], ServedNamespace]) -> None:
        self._environment = context.environment
        self._compute = context.compute
        self._serve_one = serve

    async def list_dictionaries(self, call: Call, request: ListDictionaries) -> ListDictionariesReply:
        served = self._serve_one(request.namespace)
        await served.look(0)
        found = sorted(served.shelf.kept.items(), key=lambda each: (each[1].entry.made_us, each[0]), reverse=True)
        return ListDictionariesReply(dictionaries=[_info(codec, kept.entry) for codec, kept in found])

    async def get_dictionary(self, call: Call, request: GetDictionary) -> GetDictionaryReply:
        served = self._serve_one(request.namespace)
        if not needs_dictionary(request.codec):
            raise NotFound(
                f"{request.codec[:64]!r} is no codec with a dictionary",
                field="codec",
                hint="`list_dictionaries` tells which there are",
            )
        content = await content_of(served.view.records, served.values_table, request.codec)
        return GetDictionaryReply(codec=request.codec, content=content)

    async def retire_dictionary(self, call: Call, request: RetireDictionary) -> RetireDictionaryReply:
        served = self._serve_one(request.namespace)
        await served.look(0)
        if request.codec is not None and request.codec not in served.shelf.kept:
            raise NotFound(
                f"the namespace has no dictionary {request.codec[:64]!r}",
                field="codec",
                hint="`list_dictionaries` tells which it has",
            )
        active = {codec: entry for codec, entry in _active(served).items() if request.codec in (None, codec)}
        await self._write(served, self._retired(active), {})
        return RetireDictionaryReply(retired=sorted(active))

    async def check_train_dictionary(self, call: Call, request: TrainDictionary) -> None:
        """What can be seen to be wrong."""
        served = self._serve_one(request.namespace)
        if ZSTD not in served.config.compression.codecs:
            raise PreconditionFailed(
                f"clients of the namespace {served.name!r} do not compress with zstd",
                field="namespace",
                hint="put zstd into its knob compression.codecs first",
            )
        await served.look(0)
        if len(served.shelf.kept) >= DICTIONARIES_MAX:
            raise Exhausted(
                f"the namespace {served.name!r} has {DICTIONARIES_MAX} dictionaries, and keeps no more",
                field="namespace",
                hint="drop those that no value needs: kv/drop_dictionaries",
            )

    async def train_dictionary(self, call: Call, request: TrainDictionary, job: JobContext) -> DictionaryTrained:
        await self.check_train_dictionary(call, request)
        served = self._serve_one(request.namespace)
        known = await _known(served)
        samples = await sampled(served, self._environment, request.sample_bytes, job)
        knobs = served.config.compression
        made = await self._compute.thread(
            trained,
            samples,
            Wanted(request.size, request.sample_bytes),
            knobs.level,
            int(knobs.dictionary_min_bytes),
            known,
        )
        job.check()
        # By now it may be another version of the namespace.
        again = self._serve_one(request.namespace)
        if again.view.generation != served.view.generation:
            raise NotFound(f"the namespace {request.namespace!r} was deleted meanwhile", field="namespace")
        await self.check_train_dictionary(call, request)
        await self._keep(again, made)
        return _told(request.namespace, made)

    async def check_drop_dictionaries(self, call: Call, request: DropDictionaries) -> None:
        """What can be seen to be wrong."""
        check_decided(self._serve_one(request.namespace))

    async def drop_dictionaries(self, call: Call, request: DropDictionaries, job: JobContext) -> DictionariesDropped:
        found = await drop(self._serve_one(request.namespace), self._environment, job)
        return DictionariesDropped(
            namespace=request.namespace,
            dropped=found.dropped,
            needed=found.needed,
            waiting=found.waiting,
            items=found.items,
        )

    async def _keep(self, served: ServedNamespace, made: Trained) -> None:
        """The dictionary is there, and clients are told of it, and of none of before."""
        now_us = self._environment.now_us()
        entry = Entry(state="active", size=len(made.content), samples=made.samples, made_us=now_us, since_us=now_us)
        others = {codec: each for codec, each in _active(served).items() if codec != made.codec}
        await self._write(served, {**self._retired(others), made.codec: entry}, {made.codec: made.content})

    async def _write(self, served: ServedNamespace, entries: dict[str, Entry], contents: dict[str, bytes]) -> None:
        if entries:
            await served.shelf.write(served.view.records, served.values_table, served.clock, entries, contents)
            await served.look(0)

    def _retired(self, entries: dict[str, Entry]) -> dict[str, Entry]:
        now_us = self._environment.now_us()
        return {
            codec: msgspec.structs.replace(entry, state="retired", since_us=now_us) for codec, entry in entries.items()
        }


async def _known(served: ServedNamespace) -> dict[str, Dictionary]:
    """The dictionaries by which values may be undone; without one that is lost, values that need it are no samples."""
    known: dict[str, Dictionary] = {}
    for codec in served.shelf.kept:
        with suppress(NotFound, DataLoss):
            known[codec] = Dictionary(codec, await content_of(served.view.records, served.values_table, codec))
    return known


def _active(served: ServedNamespace) -> dict[str, Entry]:
    return {codec: kept.entry for codec, kept in served.shelf.kept.items() if kept.entry.state == "active"}


def _info(codec: str, entry: Entry) -> DictionaryInfo:
    return DictionaryInfo(
        codec=codec,
        state=entry.state,
        size=entry.size,
        samples=entry.samples,
        created_at=Instant.from_us(entry.made_us),
        since=Instant.from_us(entry.since_us),
    )


def _told(namespace: str, made: Trained) -> DictionaryTrained:
    return DictionaryTrained(
        namespace=namespace,
        codec=made.codec,
        size=len(made.content),
        samples=made.samples,
        judged=made.judged,
        plain_bytes=made.plain_bytes,
        zstd_bytes=made.zstd_bytes,
        bytes=made.bytes,
    )
