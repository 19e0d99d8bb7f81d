"""Of what values a dictionary is made, and when there is none."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.core.words import documents
from tests.data.kv.conftest import make
from tests.data.kv.dictionaries.conftest import ZSTD, Library, MakeLibrary

from soundstage.core.compression import compress
from soundstage.core.dictionaries import check_dictionary
from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from soundstage.core.namespace import NamespaceSpec, Quotas
from soundstage.data.kv.api import ClientCapabilities, ItemChange, KeyValue, PutItem
from soundstage.data.kv.dictionaries import serving, training
from soundstage.data.kv.dictionaries.training import Sample, Wanted, trained
from soundstage.data.kv.shelf import DICTIONARIES_MAX
from soundstage.runtime.namespaces.api import Namespaces

WANTED = Wanted(2_048, 8 << 20)


async def test_it_makes_values_smaller_that_are_alike(library: Library) -> None:
    made = await library.train()
    assert (made.size, made.samples + made.judged) == (2_048, 300)
    assert 3 * made.bytes < 2 * made.zstd_bytes < 2 * made.plain_bytes


async def test_it_is_what_its_name_says(library: Library) -> None:
    made = await library.train()
    check_dictionary(made.codec, (await library.kv.get_dictionary(codec=made.codec)).content)


async def test_clients_that_have_dictionaries_are_told_to_write_with_it(library: Library) -> None:
    codec = (await library.train()).codec
    told = (await library.kv.handshake(client=ClientCapabilities(codecs=["zstd:*", "zstd"]))).signals
    assert (told.codecs, told.dictionary_from) == ([codec, "zstd", "none"], 64)
    told = (await library.kv.handshake(client=ClientCapabilities(codecs=["zstd"]))).signals
    assert told.codecs == ["zstd", "none"]


async def test_one_of_before_is_told_to_nobody_any_more(library: Library) -> None:
    first = (await library.train()).codec
    second = (await library.train(size=4_096)).codec
    assert await library.states() == {first: "retired", second: "active"}


async def test_values_count_as_they_were_before_they_were_compressed(library: Library) -> None:
    first = (await library.train()).codec
    for number, value in enumerate(documents(200, seed=5)):
        await library.put(first, f"c{number}", value)
        packed = PutItem(key=b"z", value=compress("zstd", value), codec="zstd")
        await library.kv.put_items(id=f"c{number}", items=[packed])
    made = await library.train()
    assert made.samples + made.judged == 700


async def gone(*_: object) -> bytes:
    raise NotFound("dropped a moment ago")


@pytest.mark.parametrize("lost", ["damaged", "gone"])
async def test_one_that_is_lost_keeps_nobody_from_training_another(
    library: Library, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    first = (await library.train()).codec
    await library.put(first)
    served = library.service._serve("people")
    if lost == "damaged":
        await served.shelf.write(served.view.records, served.values_table, served.clock, {}, {first: b"damaged"})
    else:
        monkeypatch.setattr(serving, "content_of", gone)
    made = await library.train(size=4_096)
    assert made.samples + made.judged == 300
    assert (await library.states())[made.codec] == "active"


@pytest.mark.parametrize("count", [0, 20])
async def test_too_few_values_make_none(make_library: MakeLibrary, count: int) -> None:
    library = await make_library()
    await library.fill(count)
    with pytest.raises(PreconditionFailed, match="too few"):
        await library.train()
    assert await library.states() == {}


async def test_values_that_have_nothing_in_common_make_none(make_library: MakeLibrary) -> None:
    library, chance = await make_library(), random.Random(3)
    items = [PutItem(key=b"%d" % number, value=chance.randbytes(200)) for number in range(200)]
    await library.kv.put_items(id="noise", items=items)
    with pytest.raises(PreconditionFailed):
        await library.train()
    assert await library.states() == {}


async def test_a_namespace_whose_clients_do_not_compress_has_none(library: Library) -> None:
    await make(library.stage, "plain")
    with pytest.raises(PreconditionFailed, match="zstd"):
        await library.train(name="plain")


@pytest.mark.parametrize("size", [1_023, (256 << 10) + 1])
async def test_one_that_is_too_large_or_too_small_is_refused(library: Library, size: int) -> None:
    with pytest.raises(InvalidArgument, match="size"):
        await library.kv.train_dictionary(size=size)


async def test_there_are_no_more_than_so_many(library: Library) -> None:
    for number in range(DICTIONARIES_MAX):
        await library.train(size=1_024 + number)
    with pytest.raises(Exhausted):
        await library.train(size=4_096)


async def test_what_is_no_frame_is_passed_over() -> None:
    samples = [Sample("none", value) for value in documents(200)]
    damaged = [Sample(codec, os.urandom(50)) for codec in ("zstd", "lz4", "zstd:0123456789ab", "brotli")]
    made = trained([*damaged, *samples], WANTED, 3, 64, {})
    assert made.samples + made.judged == 200


async def test_frames_of_very_long_values_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    undone = 0

    def counted(*arguments: object) -> bytes:
        nonlocal undone
        undone += 1
        return bytes(100_000)

    monkeypatch.setattr(training, "decompress", counted)
    frame = compress("zstd", bytes(100_000))
    with pytest.raises(PreconditionFailed):
        trained([Sample("zstd", frame)] * 5_000, Wanted(2_048, 1 << 20), 3, 64, {})
    assert undone == 11


async def test_a_dictionary_that_is_not_there_is_not_found(library: Library) -> None:
    for codec in ("zstd:0123456789ab", "zstd", "", "zstd:*"):
        with pytest.raises(NotFound):
            await library.kv.get_dictionary(codec=codec)


async def test_it_is_there_when_the_stage_is_opened_again(library: Library) -> None:
    codec = (await library.train()).codec
    # Another version of the namespace, of which nothing was read yet, is as another process is.
    library.service._served.clear()
    told = (await library.kv.handshake(client=ClientCapabilities(codecs=["zstd:*"]))).signals
    assert told.codecs == [codec, "none"]


async def test_another_namespace_has_none_of_it(library: Library) -> None:
    codec = (await library.train()).codec
    other = await make(library.stage, "other", **ZSTD)
    with pytest.raises(NotFound):
        await other.get_dictionary(codec=codec)
    with pytest.raises(InvalidArgument):
        await other.put_items(id="1", items=[PutItem(key=b"k", value=b"v", codec=codec)])
    assert isinstance(other, KeyValue)


class TestWithoutAnswer:
    """In process, while the store does not give a dictionary."""

    @pytest.mark.parametrize("ask", ["get_items", "watch_items"])
    async def test_who_asks_waits_to_the_deadline_and_no_longer(
        self, make_library: MakeLibrary, monkeypatch: pytest.MonkeyPatch, ask: str
    ) -> None:
        library = await self.watched(make_library)
        monkeypatch.setattr(serving, "content_of", waits)
        kv = library.kv.with_options(deadline=0.05)
        asked = kv.get_items(id="ada") if ask == "get_items" else last(kv.watch_items(cursor="0"))
        with pytest.raises(DeadlineExceeded):
            await asked

    async def test_a_feed_asks_again_and_goes_on(
        self, make_library: MakeLibrary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library = await self.watched(make_library)
        failures, content_of = [Unavailable("away", outcome="not_applied")] * 2, serving.content_of

        async def late(*given: Any) -> bytes:
            if failures:
                raise failures.pop()
            return await content_of(*given)

        monkeypatch.setattr(serving, "content_of", late)
        change = await last(library.kv.watch_items(cursor="0"))
        assert (change.items or [])[0].value == documents(1, seed=99)[0]
        assert failures == []

    async def watched(self, make_library: MakeLibrary) -> Library:
        """The last of its changes needs a dictionary."""
        library = await make_library(watch=True)
        await library.fill()
        await library.put((await library.train()).codec)
        return library


async def waits(*_: object) -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


async def last(changes: AsyncIterator[ItemChange]) -> ItemChange:
    """The one that has the record `ada`."""
    async for change in changes:
        if change.id == "ada":
            return change
    raise AssertionError


async def test_where_one_call_runs_at_a_time_a_read_has_room_to_ask_for_it(library: Library) -> None:
    codec = (await library.train()).codec
    value = await library.put(codec)
    spec = NamespaceSpec(name="people", abstraction="kv", config=ZSTD, quotas=Quotas(in_flight=1))
    await library.stage.client(Namespaces).put(namespace=spec)
    assert await library.get() == value
