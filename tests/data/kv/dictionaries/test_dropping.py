"""A dictionary is kept while any value needs it, whoever writes meanwhile, and dropped when none does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pyarrow as pa
import pytest
from tests.core.words import documents
from tests.data.kv.conftest import ALL, keys, make
from tests.data.kv.dictionaries.conftest import Library, MakeLibrary, Unhurried
from tests.data.parquet.conftest import written

from soundstage.core.compression import compress
from soundstage.core.dictionaries import DICTIONARY_MAX_BYTES, Dictionary, codec_of_dictionary
from soundstage.core.errors import InvalidArgument, NotFound, TokenReused
from soundstage.core.hlc import TokenClock
from soundstage.core.message import Duration, IdempotencyToken
from soundstage.data.kv.api import ClientCapabilities, Condition, KeyValue, Mutation, PutItem, PutMutation
from soundstage.data.kv.dictionaries import dropping
from soundstage.data.kv.dictionaries.dropping import RENEWED_US, adopt
from soundstage.data.kv.parquet import importing
from soundstage.data.kv.parquet.importing import ParquetImport
from soundstage.data.kv.shelf import TAKEN_US
from soundstage.data.parquet.files import ParquetFile
from soundstage.engines.records.port import Records, WalkPage


async def retired(library: Library) -> str:
    """A dictionary with one value, that nobody writes with any more."""
    codec = (await library.train()).codec
    await library.put(codec)
    await library.kv.retire_dictionary()
    return codec


async def test_what_was_written_with_it_is_read_after_it_was_retired(library: Library) -> None:
    codec = (await library.train()).codec
    value = await library.put(codec)
    assert (await library.kv.retire_dictionary()).retired == [codec]
    assert (await library.kv.retire_dictionary()).retired == []
    await library.pass_time(24)
    assert await library.get() == value


async def test_one_that_was_retired_is_told_to_nobody(library: Library) -> None:
    await retired(library)
    told = (await library.kv.handshake(client=ClientCapabilities(codecs=["zstd:*", "zstd"]))).signals
    assert told.codecs == ["zstd", "none"]


async def test_writes_that_name_it_are_refused_once_clients_have_heard(library: Library) -> None:
    codec = await retired(library)
    library.environment.advance(TAKEN_US / 1e6 - 1)
    await library.put(codec)
    library.environment.advance(1)
    with pytest.raises(InvalidArgument, match="does not take") as refused:
        await library.put(codec)
    assert refused.value.field == "items[0].codec"


@pytest.mark.parametrize("knobs", [{}, {"chunk_threshold": "1KiB"}], ids=["small", "large"])
async def test_what_was_taken_on_a_condition_is_answered_again_all_the_same(
    make_library: MakeLibrary, knobs: dict[str, Any]
) -> None:
    library = await make_library(conditional_writes=True, drift_past="1h", **knobs)
    await library.fill()
    codec = (await library.train()).codec
    value = os.urandom(2_000)
    reply = await library.kv.get_dictionary(codec=codec)
    frame = compress(codec, value, 3, Dictionary(codec, reply.content))
    token = TokenClock(library.environment).token()

    async def put(frame: bytes) -> IdempotencyToken:
        items = [PutItem(key=b"k", value=frame, codec=codec)]
        absent = Condition(absent=True)
        made = await library.kv.put_items(id="ada", items=items, condition=absent, idempotency_token=token)
        return made.idempotency_token

    first = await put(frame)
    await library.kv.retire_dictionary()
    await library.pass_time(0.5)
    assert await put(frame) == first
    with pytest.raises(TokenReused):
        await put(frame + b"other")
    token = TokenClock(library.environment).token()
    with pytest.raises(InvalidArgument):
        await put(frame)
    assert await library.get() == value


@pytest.mark.parametrize("knobs", [{}, {"chunk_threshold": "1KiB"}], ids=["small", "large"])
async def test_whether_it_was_taken_is_asked_for_as_long_as_the_caller_waits(
    make_library: MakeLibrary, knobs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = await make_library(conditional_writes=True, **knobs)
    await library.fill()
    codec = (await library.train()).codec
    await library.kv.retire_dictionary()
    await library.pass_time(0.5)
    asked: list[int | None] = []
    engine = type(library.stage.engines["default"])
    apply = engine.apply

    async def watched(self: Records, *given: Any, **named: Any) -> int:
        asked.append(named.get("deadline_ns"))
        return await apply(self, *given, **named)

    monkeypatch.setattr(engine, "apply", watched)
    items, token = [PutItem(key=b"k", value=os.urandom(2_000), codec=codec)], TokenClock(library.environment).token()
    with pytest.raises(InvalidArgument, match="does not take"):
        await library.kv.with_options(deadline=3.0).put_items(
            id="ada", items=items, condition=Condition(absent=True), idempotency_token=token
        )
    assert asked == [library.environment.monotonic_ns() + 3_000_000_000]


async def test_another_process_refuses_them_too(library: Library) -> None:
    codec = (await library.train()).codec
    await library.put(codec)
    # What this process knows is from before another one retired it.
    served = library.service._serve("people")
    known = dict(served.shelf.kept)
    await library.kv.retire_dictionary()
    served.shelf.kept = known
    await library.pass_time(1)
    with pytest.raises(InvalidArgument):
        await library.put(codec)


async def test_a_set_of_mutations_names_none_for_it_may_wait_for_long(library: Library) -> None:
    codec = (await library.train()).codec
    put = PutMutation(namespace="people", id="ada", items=[PutItem(key=b"k", value=b"v", codec=codec)])
    with pytest.raises(InvalidArgument) as refused:
        await library.stage.client(KeyValue).mutate_items(mutations=[Mutation(put=put)])
    assert refused.value.field == "mutations[0].put.items[0].codec"


async def test_it_is_kept_while_a_value_needs_it(library: Library) -> None:
    codec = await retired(library)
    for _ in range(3):
        await library.pass_time(24)
        assert (await library.drop()).needed == [codec]
    assert await library.get() == documents(1, seed=99)[0]


async def test_it_is_dropped_by_the_second_run_that_finds_no_value(library: Library) -> None:
    codec = await retired(library)
    await library.kv.delete_items(id="ada", predicate=ALL)
    assert (await library.drop()).waiting == [codec]
    await library.pass_time(0.6)
    assert (await library.drop()).waiting == [codec]
    assert await library.states() == {codec: "unneeded"}
    assert (await library.drop()).waiting == [codec]
    assert (await library.kv.get_dictionary(codec=codec)).content
    await library.pass_time(2)
    assert (await library.drop()).dropped == [codec]
    assert await library.states() == {}
    with pytest.raises(NotFound):
        await library.kv.get_dictionary(codec=codec)


async def test_one_that_is_active_is_never_dropped(library: Library) -> None:
    codec = (await library.train()).codec
    await library.pass_time(48)
    found = await library.drop()
    assert (found.dropped, found.waiting, await library.states()) == ([], [], {codec: "active"})


async def test_one_that_was_dropped_can_be_trained_anew(library: Library) -> None:
    codec = (await library.train()).codec
    await library.kv.retire_dictionary()
    for _ in range(2):
        await library.pass_time(3)
        await library.drop()
    assert await library.states() == {}
    await library.pass_time(1)
    again = (await library.train()).codec
    assert await library.states() == {again: "active"}
    value = await library.put(again)
    assert await library.get() == value
    assert isinstance(codec, str)


async def test_a_large_value_in_chunks_needs_it_too(make_library: MakeLibrary) -> None:
    library = await make_library(chunk_threshold="1KiB")
    await library.fill()
    codec = (await library.train()).codec
    value = b"".join(documents(300, seed=8))
    await library.put(codec, value=value)
    await library.kv.retire_dictionary()
    await library.pass_time(3)
    assert (await library.drop()).needed == [codec]
    assert await library.get() == value


async def test_a_value_that_has_expired_counts_until_it_is_removed(library: Library) -> None:
    codec = (await library.train()).codec
    reply = await library.kv.get_dictionary(codec=codec)
    item = PutItem(key=b"k", value=reply.content[:10], ttl=Duration.parse("1m"), codec=codec)
    await library.kv.put_items(id="brief", items=[item])
    await library.kv.retire_dictionary()
    await library.pass_time(1)
    assert (await library.kv.count_items(id="brief")).count == 0
    assert (await library.drop()).needed == [codec]


async def test_a_watched_namespace_keeps_it_for_as_long_as_changes(make_library: MakeLibrary) -> None:
    library = await make_library(watch=True, watch_retention="48h")
    await library.fill()
    codec = (await library.train()).codec
    await library.kv.retire_dictionary()
    await library.pass_time(1)
    await library.drop()
    await library.pass_time(47)
    assert (await library.drop()).waiting == [codec]
    await library.pass_time(2)
    assert (await library.drop()).dropped == [codec]


async def test_nobody_can_say_so_where_each_replica_may_have_other_values(library: Library) -> None:
    await retired(library)
    library.service._serve("people")._settled_from_us = None
    with pytest.raises(InvalidArgument, match="replica"):
        await library.drop()


def interrupt(library: Library, patch: pytest.MonkeyPatch, moment: str, meet: Callable[[], Awaitable[None]]) -> None:
    """Somebody comes between after a page of the walk, or after the first thing that is said of the dictionary."""
    records = library.service._serve("people").view.records
    walk, say = records.walk, dropping._put

    async def walked(*given: Any) -> WalkPage:
        page = await walk(*given)
        await meet()
        return page

    async def said(*given: Any) -> None:
        await say(*given)
        patch.setattr(dropping, "_put", say)
        await meet()

    if moment == "walk":
        patch.setattr(records, "walk", walked)
    else:
        patch.setattr(dropping, "_put", said)


class TestWhoBringsValuesMeanwhile:
    """An import that takes its dictionary along, against each step of a drop."""

    async def step(self, library: Library, codec: str, content: bytes) -> None:
        served = library.service._serve("people")
        await adopt(served, library.environment, {codec: content})

    @pytest.mark.parametrize("run", [1, 2])
    @pytest.mark.parametrize("moment", ["walk", "write"])
    async def test_it_is_there_for_them(
        self, library: Library, monkeypatch: pytest.MonkeyPatch, run: int, moment: str
    ) -> None:
        codec = (await library.train()).codec
        content = (await library.kv.get_dictionary(codec=codec)).content
        await library.kv.retire_dictionary()
        met = 0

        async def meet() -> None:
            nonlocal met
            met += 1
            await self.step(library, codec, content)

        for number in (1, 2):
            await library.pass_time(3)
            with monkeypatch.context() as patch:
                if number == run:
                    interrupt(library, patch, moment, meet)
                await library.drop()
        assert met
        assert (await library.kv.get_dictionary(codec=codec)).content == content
        # What was said in the first run is of three hours ago.
        assert await library.states() == {codec: "unneeded" if run == 1 else "retired"}

    async def test_values_that_came_before_it_is_marked_are_found(
        self, library: Library, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        codec = (await library.train()).codec
        content = (await library.kv.get_dictionary(codec=codec)).content
        await library.kv.retire_dictionary()
        await library.pass_time(3)
        await library.drop()
        await library.pass_time(3)
        values: list[bytes] = []
        say = dropping._put

        async def came_first(*given: Any) -> None:
            monkeypatch.setattr(dropping, "_put", say)
            await self.step(library, codec, content)
            values.append(await library.put(codec))
            await say(*given)

        monkeypatch.setattr(dropping, "_put", came_first)
        assert (await library.drop()).dropped == []
        assert [await library.get()] == values

    async def test_large_ones_come_together(self, library: Library) -> None:
        words = [b"\x37\xa4\x30\xec" + bytes([number]) * (DICTIONARY_MAX_BYTES - 4) for number in range(16)]
        served = library.service._serve("people")
        await adopt(served, library.environment, {codec_of_dictionary(each): each for each in words})
        assert await library.states() == dict.fromkeys(map(codec_of_dictionary, words), "retired")

    async def test_it_comes_with_one_that_was_dropped(self, library: Library) -> None:
        codec = (await library.train()).codec
        content = (await library.kv.get_dictionary(codec=codec)).content
        await library.kv.retire_dictionary()
        for _ in range(2):
            await library.pass_time(3)
            await library.drop()
        await self.step(library, codec, content)
        assert (await library.kv.get_dictionary(codec=codec)).content == content

    async def test_a_drop_that_is_late_takes_nothing_of_it(self, library: Library) -> None:
        codec = (await library.train()).codec
        content = (await library.kv.get_dictionary(codec=codec)).content
        await library.kv.retire_dictionary()
        served = library.service._serve("people")
        await served.look(0)
        before = served.shelf.kept[codec].cell
        await library.pass_time(3)
        await self.step(library, codec, content)
        await served.shelf.drop(served.view.records, served.values_table, codec, before)
        await served.look(0)
        assert codec in served.shelf.kept
        assert (await library.kv.get_dictionary(codec=codec)).content == content


async def test_values_stay_when_a_namespace_takes_zstd_no_more(library: Library) -> None:
    codec = (await library.train()).codec
    value = await library.put(codec)
    await make(library.stage, "people", compression={"codecs": []})
    assert await library.get() == value
    await library.pass_time(1)
    with pytest.raises(InvalidArgument):
        await library.put(codec)
    assert (await library.kv.get_items(id="ada", predicate=keys(b"k"))).items[0].value == value


class Slow(Unhurried):
    """A job whose every piece takes long; at the end of each it looks how long ago its dictionary was spoken of."""

    state = None
    job_id = "job"

    def __init__(self, library: Library) -> None:
        self._library = library
        self.silent_us: list[int] = []

    async def checkpoint(self, state: bytes) -> None:
        served = self._library.service._serve("people")
        await served.look(0)
        now_us = self._library.environment.now_us()
        self.silent_us += [now_us - kept.entry.since_us for kept in served.shelf.kept.values()]
        self._library.environment.advance(1.1 * RENEWED_US / 1e6)


async def test_an_import_that_takes_long_goes_on_to_say_that_its_dictionary_is_needed(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PIECE_ROWS", 1)
    values = documents(3, seed=9)
    codec = (await library.train()).codec
    dictionary = Dictionary(codec, (await library.kv.get_dictionary(codec=codec)).content)
    await library.kv.retire_dictionary()
    columns = {
        "id": [f"film-{number}" for number in range(len(values))],
        "key": ["k"] * len(values),
        "value": pa.array([compress(codec, value, 3, dictionary) for value in values], pa.binary()),
        "codec": [codec] * len(values),
    }
    content, job = written(columns, row_group_size=1), Slow(library)

    async def read(start: int, end: int) -> AsyncIterator[bytes]:
        yield content[start:end]

    async def compute(work: Any, *given: Any) -> Any:
        return work(*given)

    file = await ParquetFile.open(cast(Any, read), len(content), compute)
    served = library.service._serve("people")
    await ParquetImport(lambda: served, file, "new", library.environment, compute).run(cast(Any, job))
    assert len(job.silent_us) == len(values) + 1
    assert max(job.silent_us) < RENEWED_US
