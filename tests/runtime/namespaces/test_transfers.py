"""Export, import and copy of namespaces, on a stage in memory with two engines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.runtime.transfer.conftest import CONFIG, contents, exported, fill, item, namespaces, stage, token

from soundstage.core.call import Call, Principal
from soundstage.core.errors import (
    AlreadyExists,
    DataLoss,
    Forbidden,
    InProgress,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
)
from soundstage.core.files import File
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import Duration
from soundstage.data.kv.api import Condition, KeyValue, MatchAll, MatchKeys, MatchRange, Predicate
from soundstage.engines.records.holdings import Holding
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.jobs import Jobs
from soundstage.runtime.namespaces.api import CopyNamespace, ImportNamespace, Namespaces
from soundstage.runtime.stage import Stage
from soundstage.runtime.transfer.format import Header, Message, Page, Trailer, chained, decode, encode, packed_size

__all__ = ["namespaces", "stage"]

_MINUTE = Duration.parse("60s")

HEAD_BYTES = 20
"""Of what stands before every block of an exported file."""

OTHER = {"records": "other"}
DELETES = {
    "all": Predicate(match_all=MatchAll()),
    "key": Predicate(match_keys=MatchKeys(keys=[b"k"])),
    "range": Predicate(match_range=MatchRange(start=b"a", end=b"z")),
}


async def imported(stage: Stage, file: File, name: str = "again", **given: Any) -> Any:
    return await (await stage.client(Namespaces).import_(name=name, file=file, **given)).result()


async def content_of(stage: Stage, file: File) -> bytes:
    return b"".join([chunk async for chunk in stage.files.open(file)])


def crafted(content: bytes, kind: str) -> bytes:
    """An exported file with one thing in it that no export writes, and with the chain that goes with it."""
    header, page, *_, trailer = messages(content)
    assert isinstance(header, Header)
    assert isinstance(page, Page)
    assert isinstance(trailer, Trailer)
    holding = next(each for each in page.holdings if each.cells)
    key, good = holding.cells[0]
    if kind == "another table":
        unknown = msgspec.structs.replace(header.tables[0], name="kv/films/none")
        header = msgspec.structs.replace(header, tables=[unknown])
    elif kind.startswith("table"):
        page = Page(2 if kind == "table after the last" else -1, page.holdings)
    else:
        cell = b"z" if kind == "cell too short" else (2**62).to_bytes(8, "big") + good[8:]
        page = Page(0, [msgspec.structs.replace(holding, cells=[(key, cell)])])
    begun = encode(header) + encode(page)
    chain = chained(chained(b"", encode(header)), encode(page))
    return begun + encode(msgspec.structs.replace(trailer, chain=chain))


def messages(content: bytes) -> Iterator[Message]:
    while content:
        size = HEAD_BYTES + packed_size(content[:HEAD_BYTES])
        yield decode(content[:size])
        content = content[size:]


async def copied(stage: Stage, to: str = "again", **given: Any) -> Any:
    return await (await stage.client(Namespaces).copy(name="films", to=to, **given)).result()


async def tables(stage: Stage) -> list[str]:
    return [
        spec.name
        for name in ("default", "other")
        for spec in await stage.engines.get(name, "").tables()
        if "kv/" in spec.name
    ]


class Held(MemoryRecords):
    """An engine that takes nothing in before it is told to."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.alters = False

    async def load(self, table: str, holdings: Any, fence: int | None = None) -> None:
        self.entered.set()
        await self.gate.wait()
        if self.alters:
            holdings = [Holding(partition=each.partition, newest=each.newest) for each in holdings]
        await super().load(table, holdings, fence)


async def held(stage: Stage) -> tuple[Stage, Held]:
    engine = Held(stage.environment)
    other = Stage.open(data="memory:", config=CONFIG, engines={"other": engine})
    await other.start()
    await other.client(Namespaces).put(namespace=NamespaceSpec(name="films", abstraction="kv"))
    await fill(other)
    return other, engine


class TestExport:
    async def test_it_is_one_file_with_counts(self, stage: Stage, namespaces: Namespaces) -> None:
        await fill(stage)
        job = await namespaces.export(name="films")
        found = await job.result()
        assert (found.name, found.records, found.items) == ("films", 20, 19 * 3)
        assert found.file.name == "films.soundstage.zst"
        assert (await job.info()).files == [found.file]

    async def test_it_can_be_read_by_who_may_read_the_namespace(self, stage: Stage) -> None:
        file = (await exported(stage)).file
        assert (await stage.files.find(file.blob, Principal("ada", {"films": ("read",)}))).size == file.size
        with pytest.raises(Forbidden):
            await stage.files.find(file.blob, Principal("eve", {"other": ("read",)}))

    async def test_nothing_is_left_beside_it(self, stage: Stage) -> None:
        await fill(stage)
        await exported(stage)
        assert (await stage.engines.blobs("blobs", "").usage()).blobs == 1

    async def test_an_unknown_namespace_is_refused_at_once(self, namespaces: Namespaces) -> None:
        with pytest.raises(NotFound):
            await namespaces.export(name="none")


class TestImport:
    @pytest.mark.parametrize("engines", [None, OTHER])
    async def test_it_answers_as_the_one_that_was_exported(self, stage: Stage, engines: Any) -> None:
        await fill(stage)
        found = await exported(stage)
        filled = await imported(stage, found.file, engines=engines)
        assert (filled.records, filled.items, filled.bytes) == (found.records, found.items, found.bytes)
        assert await contents(stage, "again") == await contents(stage, "films")
        assert filled.namespace.engines == (engines or {"records": "default"})

    async def test_an_empty_namespace_goes_through(self, stage: Stage) -> None:
        filled = await imported(stage, (await exported(stage)).file)
        assert (filled.records, await contents(stage, "again")) == (0, {})

    @pytest.mark.parametrize("kind", list(DELETES))
    async def test_an_older_write_loses_as_it_would_have(self, stage: Stage, kind: str) -> None:
        kv = stage.client(KeyValue, "films")
        await kv.put_items(id="x", items=[item(b"k")], idempotency_token=token(stage, 30, "first"))
        await kv.delete_items(id="x", predicate=DELETES[kind], idempotency_token=token(stage, 20, "delete"))
        await imported(stage, (await exported(stage)).file)
        again = stage.client(KeyValue, "again")
        await again.put_items(id="x", items=[item(b"k")], idempotency_token=token(stage, 25, "late"))
        assert (await again.get_items(id="x")).items == []

    async def test_an_older_write_than_an_expired_one_loses(self, stage: Stage) -> None:
        kv = stage.client(KeyValue, "films")
        await kv.put_items(id="x", items=[item(b"k", ttl="1s")], idempotency_token=token(stage, 20, "expired"))
        await imported(stage, (await exported(stage)).file)
        again = stage.client(KeyValue, "again")
        await again.put_items(id="x", items=[item(b"k")], idempotency_token=token(stage, 25, "late"))
        assert (await again.get_items(id="x")).items == []

    async def test_a_conditional_write_is_known_again(self, stage: Stage) -> None:
        kv = stage.client(KeyValue, "films")
        first, absent = token(stage, 5, "first"), Condition(key=b"k", absent=True)
        reply = await kv.put_items(id="x", items=[item(b"k")], idempotency_token=first, condition=absent)
        await imported(stage, (await exported(stage)).file)
        again = stage.client(KeyValue, "again")
        assert await again.put_items(id="x", items=[item(b"k")], idempotency_token=first, condition=absent) == reply
        with pytest.raises(PreconditionFailed):
            await again.put_items(id="x", items=[item(b"k")], condition=absent)

    async def test_a_conditional_write_follows_the_greatest_version(self, stage: Stage) -> None:
        kv = stage.client(KeyValue, "films")
        await kv.delete_items(id="x", predicate=DELETES["all"], idempotency_token=token(stage, -1, "ahead"))
        await imported(stage, (await exported(stage)).file)
        stamp = (await kv.get_items(id="x")).record_token
        assert stamp is not None
        again = stage.client(KeyValue, "again")
        assert (await again.get_items(id="x")).record_token == stamp
        reply = await again.put_items(id="x", items=[item(b"k")], condition=Condition(key=b"k", absent=True))
        assert reply.idempotency_token.generation_time > stamp.generation_time

    async def test_a_longer_drift_is_admitted_no_sooner_than_after_a_change(self, stage: Stage) -> None:
        """What the source purged under the shorter one cannot hide older writes."""
        filled = await imported(stage, (await exported(stage)).file, config={"drift_past": "1h"})
        assert filled.namespace.config["drift_past"] == "1h"
        again = stage.client(KeyValue, "again")
        with pytest.raises(InvalidArgument):
            await again.put_items(id="x", items=[item(b"k")], idempotency_token=token(stage, 1_200, "old"))
        await again.put_items(id="x", items=[item(b"k")], idempotency_token=token(stage, 500, "recent"))

    async def test_the_tables_are_purged_again_once_it_is_served(self, stage: Stage) -> None:
        await fill(stage)
        await imported(stage, (await exported(stage)).file, engines=OTHER)
        engine: Any = stage.engines.get("other", "")
        assert [table.purge_floor_us for table in engine._tables.values()] == [None, None]

    async def test_a_namespace_with_records_is_not_replaced(self, stage: Stage) -> None:
        await fill(stage)
        file = (await exported(stage)).file
        with pytest.raises(AlreadyExists, match="holds records"):
            await imported(stage, file, "films")
        assert len(await contents(stage, "films")) == 19

    async def test_unless_that_is_declared(self, stage: Stage) -> None:
        await fill(stage)
        file = (await exported(stage)).file
        await stage.client(KeyValue, "films").put_items(id="later", items=[item(b"k")])
        filled = await imported(stage, file, "films", overwrite=True)
        assert "later" not in await contents(stage, "films")
        assert (await stage.client(Namespaces).get(name="films")) == filled.namespace

    async def test_an_empty_one_is(self, stage: Stage, namespaces: Namespaces) -> None:
        await fill(stage)
        await namespaces.put(namespace=NamespaceSpec(name="again", abstraction="kv"))
        await imported(stage, (await exported(stage)).file)
        assert len(await contents(stage, "again")) == 19

    async def test_one_of_the_stage_file_is_not(self) -> None:
        config = {**CONFIG, "namespaces": {"films": {"abstraction": "kv"}}}
        async with Stage.open(data="memory:", config=config) as stage:
            with pytest.raises(PreconditionFailed, match="stage file"):
                await imported(stage, (await exported(stage)).file, "films")

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"config": {"page_size_byte": 5}}, "namespace.config.page_size_byte"),
            ({"engines": {"records": "none"}}, "namespace.engines.records"),
            ({"name": "no name"}, "namespace.name"),
        ],
    )
    async def test_what_cannot_be_is_refused_at_once(self, stage: Stage, given: dict[str, Any], field: str) -> None:
        file = (await exported(stage)).file
        with pytest.raises(InvalidArgument) as caught:
            await imported(stage, file, **given)
        assert caught.value.field == field

    async def test_a_file_that_is_none_is_refused_at_once(self, stage: Stage, namespaces: Namespaces) -> None:
        for content in (b"", b"no export" * 10):
            with pytest.raises(InvalidArgument, match="no exported namespace"):
                await namespaces.import_(name="again", file=await stage.files.upload(content))
        with pytest.raises(InvalidArgument):
            await namespaces.import_(name="again", file=File(blob="../../etc/passwd"))

    async def test_a_file_that_was_cut_leaves_nothing(self, stage: Stage, namespaces: Namespaces) -> None:
        await fill(stage)
        found = await exported(stage)
        content = b"".join([chunk async for chunk in stage.files.open(found.file)])
        for cut in (len(content) - 1, len(content) * 2 // 3):
            with pytest.raises(DataLoss):
                await imported(stage, await stage.files.upload(content[:cut]))
            await stage.run_background()
            with pytest.raises(NotFound):
                await namespaces.get(name="again")
            assert await tables(stage) == ["kv/films", "kv/films/values"]

    async def test_it_is_served_only_when_it_is_whole(self, stage: Stage) -> None:
        other, engine = await held(stage)
        async with other:
            file = (await exported(other)).file
            job = await other.client(Namespaces).import_(name="again", file=file, engines=OTHER)
            await engine.entered.wait()
            with pytest.raises(NotFound):
                await other.client(KeyValue, "again").get_items(id="film-1")
            with pytest.raises(InProgress):
                await other.client(Namespaces).put(namespace=NamespaceSpec(name="again", abstraction="kv"))
            engine.gate.set()
            await job.result()
            assert len(await contents(other, "again")) == 19

    async def test_what_does_not_arrive_is_found(self, stage: Stage) -> None:
        other, engine = await held(stage)
        engine.alters = True
        engine.gate.set()
        async with other:
            with pytest.raises(DataLoss, match="do not add up"):
                await imported(other, (await exported(other)).file, engines=OTHER)

    async def test_one_that_is_cancelled_leaves_nothing(self, stage: Stage) -> None:
        other, engine = await held(stage)
        async with other:
            file = (await exported(other)).file
            job = await other.client(Namespaces).import_(name="again", file=file, engines=OTHER)
            await engine.entered.wait()
            await job.cancel()
            with pytest.raises(PreconditionFailed, match="cancelled"):
                await job.result()
            await other.run_background()
            assert [spec.name for spec in await engine.tables()] == []
            engine.gate.set()
            await imported(other, file, engines=OTHER)

    async def test_a_name_that_a_failed_job_held_is_free_at_once(self, stage: Stage) -> None:
        await fill(stage)
        found = await exported(stage)
        content = b"".join([chunk async for chunk in stage.files.open(found.file)])
        with pytest.raises(DataLoss):
            await imported(stage, await stage.files.upload(content[:-1]))
        await imported(stage, found.file)

    @pytest.mark.parametrize("overwrite", [True, False])
    @pytest.mark.parametrize("kind", ["table after the last", "table before the first", "cell too short", "far future"])
    async def test_what_no_export_wrote_is_told_and_leaves_nothing(
        self, stage: Stage, kind: str, *, overwrite: bool
    ) -> None:
        await fill(stage, records=2)
        file = await stage.files.upload(crafted(await content_of(stage, (await exported(stage)).file), kind))
        with pytest.raises(DataLoss, match="cut or changed"):
            await imported(stage, file, overwrite=overwrite)
        await stage.run_background()
        assert await tables(stage) == ["kv/films", "kv/films/values"]

    @pytest.mark.parametrize("kind", ["cut", "changed", "another table", "table after the last", "cell too short"])
    async def test_a_damaged_file_takes_no_namespaces_place(self, stage: Stage, kind: str) -> None:
        await fill(stage)
        content = await content_of(stage, (await exported(stage)).file)
        before = await contents(stage, "films")
        if kind == "cut":
            content = content[: len(content) * 2 // 3]
        elif kind == "changed":
            content = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
        else:
            content = crafted(content, kind)
        with pytest.raises((DataLoss, InvalidArgument)):
            await imported(stage, await stage.files.upload(content), "films", overwrite=True)
        assert await contents(stage, "films") == before


class TestCopy:
    async def test_it_answers_as_the_one_that_was_copied(self, stage: Stage) -> None:
        await fill(stage)
        filled = await copied(stage, engines=OTHER)
        assert (filled.records, filled.items) == (20, 19 * 3)
        assert await contents(stage, "again") == await contents(stage, "films")
        assert await tables(stage) == ["kv/films", "kv/films/values", "kv/again", "kv/again/values"]

    async def test_it_is_bound_as_the_other_one_unless_told(self, stage: Stage) -> None:
        assert (await copied(stage, "one", engines=OTHER)).namespace.engines == OTHER
        job = await stage.client(Namespaces).copy(name="one", to="two")
        assert (await job.result()).namespace.engines == OTHER

    async def test_what_is_fixed_at_creation_may_differ(self, stage: Stage) -> None:
        await fill(stage)
        filled = await copied(stage, config={"key_order": "desc", "conditional_writes": False})
        assert filled.namespace.config["key_order"] == "desc"
        found = await stage.client(KeyValue, "again").get_items(id="film-1")
        assert [each.key for each in found.items] == [b"k4", b"k2", b"k0"]

    async def test_it_tells_how_far_it_is(self, stage: Stage) -> None:
        await fill(stage)
        job = await stage.client(Namespaces).copy(name="films", to="again")
        await job.result()
        progress = (await job.info()).progress
        assert (progress.done, progress.total, progress.unit) == (20, 20, "records")

    async def test_writes_that_come_meanwhile_do_not_disturb_it(self, stage: Stage) -> None:
        other, engine = await held(stage)
        async with other:
            job = await other.client(Namespaces).copy(name="films", to="again", engines=OTHER)
            await engine.entered.wait()
            kv = other.client(KeyValue, "films")
            for number in range(20):
                await kv.put_items(id=f"film-{number}", items=[item(b"new")])
                await kv.delete_items(id=f"film-{number}", predicate=DELETES["range"])
            engine.gate.set()
            assert (await job.result()).records == 20

    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"name": "none", "to": "again"}, NotFound),
            ({"name": "films", "to": "films"}, InvalidArgument),
            ({"name": "films", "to": "full"}, AlreadyExists),
        ],
    )
    async def test_what_cannot_be_is_refused_at_once(
        self, stage: Stage, namespaces: Namespaces, given: Any, error: type[SoundstageError]
    ) -> None:
        await namespaces.put(namespace=NamespaceSpec(name="full", abstraction="kv"))
        await fill(stage, "full", 1)
        await stage.client(KeyValue, "full").put_items(id="x", items=[item(b"k")])
        with pytest.raises(error):
            await namespaces.copy(**given)


class TestWho:
    @pytest.mark.parametrize(
        ("grants", "may"),
        [
            ({"films": ("read",), "again": ("admin",)}, True),
            ({"again": ("admin",)}, False),
            ({"films": ("read",)}, False),
            ({"films": ("admin",), "again": ("write",)}, False),
        ],
    )
    async def test_a_copy_takes_read_here_and_admin_there(self, stage: Stage, grants: Any, may: bool) -> None:
        call = Call(principal=Principal("ada", grants))
        starting = stage.dispatch("namespaces", "copy", call, CopyNamespace(name="films", to="again"))
        if may:
            started = await starting
            outcome = await stage.client(Jobs).result(job_id=started.job_id, wait=_MINUTE)
            assert outcome.state == "succeeded"
        else:
            with pytest.raises(Forbidden):
                await starting

    @pytest.mark.parametrize(
        ("grants", "may"),
        [
            ({"films": ("read",), "again": ("admin",)}, True),
            ({"again": ("admin",)}, False),
            ({"films": ("admin",)}, False),
        ],
    )
    async def test_an_import_takes_a_file_that_may_be_read_and_admin(
        self, stage: Stage, grants: Any, may: bool
    ) -> None:
        file = (await exported(stage)).file
        call = Call(principal=Principal("ada", grants))
        starting = stage.dispatch("namespaces", "import", call, ImportNamespace(name="again", file=file))
        if may:
            assert (await starting).job_id
        else:
            with pytest.raises(Forbidden):
                await starting


ages = st.sampled_from([0.0, 0.001, 0.002, 1.0, 30.0, 300.0])
keys = st.sampled_from([b"a", b"b", b"k"])
steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "all", "key", "range"]),
        st.sampled_from(["x", "y"]),
        keys,
        ages,
        st.sampled_from(["s", "t"]),
        st.sampled_from([None, "1ms", "100s"]),
    ),
    max_size=12,
)


async def take(stage: Stage, namespace: str, step: Any, at_us: int) -> None:
    what, name, key, age, text, ttl = step
    kv = stage.client(KeyValue, namespace)
    made = IdempotencyToken(Instant.from_us(at_us - int(age * 1e6)), text)
    if what == "put":
        await kv.put_items(id=name, items=[item(key, b"v", ttl)], idempotency_token=made)
    else:
        await kv.delete_items(id=name, predicate=DELETES[what], idempotency_token=made)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=steps, after=steps)
async def test_whatever_was_written_later_writes_come_to_the_same(stage: Stage, before: Any, after: Any) -> None:
    at = stage.environment.now_us()
    await stage.client(Namespaces).delete(name="films")
    await stage.client(Namespaces).put(namespace=NamespaceSpec(name="films", abstraction="kv"))
    for step in before:
        await take(stage, "films", step, at)
    await imported(stage, (await exported(stage)).file, engines=OTHER, overwrite=True)
    for step in after:
        await take(stage, "films", step, at)
        await take(stage, "again", step, at)
        for name in ("x", "y"):
            one, other = [await stage.client(KeyValue, each).get_items(id=name) for each in ("films", "again")]
            assert one == other


async def test_what_was_truncated_stays_gone_in_a_copy(stage: Stage, namespaces: Namespaces) -> None:
    await fill(stage)
    films = stage.client(KeyValue, "films")
    early = token(stage, 5)
    await films.truncate(confirm="films")
    await films.put_items(id="after", items=[item(b"k")])
    await (await namespaces.copy(name="films", to="again", engines=OTHER)).result()
    assert list(await contents(stage, "again")) == ["after"]
    await stage.client(KeyValue, "again").put_items(id="late", items=[item(b"k")], idempotency_token=early)
    assert await contents(stage, "again") == await contents(stage, "films")


async def test_what_was_truncated_stays_gone_in_an_import(stage: Stage, namespaces: Namespaces) -> None:
    await fill(stage)
    films = stage.client(KeyValue, "films")
    await films.truncate(confirm="films")
    await films.put_items(id="after", items=[item(b"k")])
    await imported(stage, (await exported(stage)).file)
    assert list(await contents(stage, "again")) == ["after"]


async def test_only_the_file_of_a_truncated_namespace_is_of_the_newer_format(stage: Stage) -> None:
    await fill(stage, records=1)
    plain = await header_of(stage)
    await stage.client(KeyValue, "films").truncate(confirm="films")
    truncated = await header_of(stage)
    assert [(each.format, each.truncated is None) for each in (plain, truncated)] == [(1, True), (2, False)]


async def header_of(stage: Stage) -> Header:
    content = await content_of(stage, (await exported(stage)).file)
    first = decode(content[: HEAD_BYTES + packed_size(content[:HEAD_BYTES])])
    assert isinstance(first, Header)
    return first
