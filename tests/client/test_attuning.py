"""A connection asks its server how to be, when that is worth it, and is so from then on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.conftest import Meet
from tests.client.stand_in import FarEnd, items_reply, problem, put_reply, token
from tests.core.words import content_of_words

from soundstage.client import Connection, Settings
from soundstage.client.attuning import NAMESPACES_MAX, Attuning, Latencies
from soundstage.client.attuning import Tuned as OfNamespace
from soundstage.core.attunement import SIGNALS_HEADER, Hedging
from soundstage.core.codec import MSGPACK, decoder, msgpack_encode
from soundstage.core.compression import compress, decompress
from soundstage.core.dictionaries import codec_of_dictionary
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, NotFound, SoundstageError, TokenReused, Unavailable
from soundstage.core.message import Duration
from soundstage.core.namespace import LatencyObjective, NamespaceSpec
from soundstage.core.policy import hedge_budget
from soundstage.data.kv.api import (
    Condition,
    GetItems,
    GetItemsReply,
    HandshakeReply,
    Item,
    ItemMetadata,
    KeyValue,
    KeyValueCalls,
    KeyValueSignals,
    PutItem,
    PutItems,
)
from soundstage.data.kv.attunement import ATTUNEMENT
from soundstage.runtime.namespaces.api import Namespaces

MIB = 1 << 20
WORDS = b"words and words " * 100
WORDED = codec_of_dictionary(content_of_words())
TARGET = {"get_items": LatencyObjective(target=Duration.parse("50ms"))}


def signals(version: str = "v1", codecs: tuple[str, ...] = (), **told: Any) -> KeyValueSignals:
    known: dict[str, Any] = {"slos": {}, "hedging": Hedging(), **told}
    return KeyValueSignals(
        version=version,
        hold=Duration.parse("60s"),
        page_size_bytes=1,
        page_size_max=1,
        chunk_threshold=1,
        value_max=1,
        codecs=[*codecs, "none"],
        compress_from=64,
        compress_level=3,
        **known,
    )


class Tuner(FarEnd):
    """A server of one namespace: tells its signals when asked, and their version with every other reply."""

    def __init__(self, told: KeyValueSignals | SoundstageError | None) -> None:
        super().__init__()
        self.told = told
        self.slow = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        path = request.url.path
        if path.endswith("/handshake"):
            if isinstance(self.told, SoundstageError):
                return await problem(self.told)(request)
            assert self.told is not None
            return _response(HandshakeReply(signals=self.told), "")
        if path.endswith("/get_dictionary"):
            return await problem(NotFound("none of that name"))(request)
        if self.slow and path.endswith("/get_items"):
            self.slow = False
            await asyncio.Event().wait()
        answer = await (put_reply() if path.endswith("/put_items") else items_reply(b"a"))(request)
        if isinstance(self.told, KeyValueSignals):
            answer.headers[SIGNALS_HEADER] = self.told.version
        return answer

    @property
    def questions(self) -> int:
        return sum(request.url.path.endswith("/handshake") for request in self.requests)

    def puts(self) -> list[PutItems]:
        """The writes that arrived."""
        return [
            decoder(PutItems, MSGPACK).decode(request.read())
            for request in self.requests
            if request.url.path.endswith("/put_items")
        ]


def _response(message: Any, version: str) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": MSGPACK}, content=msgpack_encode(message))


Tuned = Callable[..., tuple[KeyValue, Tuner, Connection]]


@pytest.fixture
def tuned(meet: Meet) -> Tuned:
    """A client of a namespace that tells such signals."""

    def tuned(told: Any, settings: Settings | None = None) -> tuple[KeyValue, Tuner, Connection]:
        connection, _ = meet(settings=settings)
        far = Tuner(told)
        connection._transport = far
        return connection.client(KeyValue, "x"), far, connection

    return tuned


class TestAsking:
    async def test_a_namespace_that_tells_nothing_is_never_asked(self, meet: Meet) -> None:
        connection, far = meet(items_reply())
        for _ in range(3):
            await connection.client(KeyValue, "x").get_items(id="1")
        assert (len(far.requests), connection.statistics.questions) == (3, 0)

    async def test_one_that_tells_a_version_is_asked_before_the_next_call_and_no_more(self, tuned: Tuned) -> None:
        kv, far, _ = tuned(signals())
        await kv.get_items(id="1")
        assert far.questions == 0
        for _ in range(5):
            await kv.get_items(id="1")
        assert far.questions == 1

    async def test_another_version_is_asked_for(self, tuned: Tuned, environment: VirtualEnvironment) -> None:
        kv, far, _ = tuned(signals("v1"))
        for told in ("v1", "v2", "v2"):
            far.told = signals(told)
            await kv.get_items(id="1")
            await kv.get_items(id="1")
            environment.advance(2)
        assert far.questions == 2

    async def test_what_was_held_for_long_enough_is_asked_for_again(
        self, tuned: Tuned, environment: VirtualEnvironment
    ) -> None:
        kv, far, _ = tuned(signals())
        await kv.get_items(id="1")
        await kv.get_items(id="1")
        environment.advance(47)
        await kv.get_items(id="1")
        assert far.questions == 1
        environment.advance(26)
        await kv.get_items(id="1")
        assert far.questions == 2

    async def test_versions_that_change_with_every_reply_are_not_chased(
        self, tuned: Tuned, environment: VirtualEnvironment
    ) -> None:
        kv, far, _ = tuned(signals())
        for number in range(50):
            far.told = signals(f"v{number}")
            await kv.get_items(id="1")
            environment.advance(0.01)
        assert far.questions == 1

    async def test_a_question_says_what_the_client_can_do(self, tuned: Tuned) -> None:
        kv, far, _ = tuned(signals())
        await kv.get_items(id="1")
        await kv.get_items(id="1")
        asked = decoder(KeyValueCalls.handshake.request, MSGPACK).decode(far.requests[1].read())
        assert (asked.namespace, asked.client.codecs) == ("x", ["zstd:*", "zstd", "lz4", "none"])

    @pytest.mark.parametrize("failure", [Unavailable("no"), NotFound("there is no operation handshake")])
    async def test_a_question_that_fails_keeps_nobody_from_calling(
        self, tuned: Tuned, failure: SoundstageError
    ) -> None:
        kv, far, _ = tuned(failure)
        for _ in range(3):
            await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
        assert [put.items[0].codec for put in far.puts()] == [None] * 3
        assert far.questions == 1

    async def test_a_dictionary_is_fetched_in_the_time_that_the_question_has(self, tuned: Tuned) -> None:
        kv, far, _ = tuned(signals(codecs=(WORDED, "zstd")))
        await kv.with_options(deadline=0.4).put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
        (fetched,) = [each for each in far.requests if each.url.path.endswith("/get_dictionary")]
        assert 0 < int(fetched.headers["soundstage-timeout"].removesuffix("ms")) <= 100
        assert [put.items[0].codec for put in far.puts()] == ["zstd"]

    async def test_nobody_who_writes_waits_for_a_dictionary_that_others_fetch(
        self, tuned: Tuned, environment: VirtualEnvironment
    ) -> None:
        kv, far, connection = tuned(signals(codecs=(WORDED, "zstd")))
        understanding = connection._attuning.understanding
        async with understanding._fetching:
            await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
        assert [put.items[0].codec for put in far.puts()] == ["zstd"]
        understanding.dictionaries.add(WORDED, content_of_words())
        environment.advance(2)
        await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
        assert (far.puts()[-1].items[0].codec, far.questions) == (WORDED, 2)

    async def test_one_call_asks_and_the_others_go_on(self, tuned: Tuned) -> None:
        kv, far, _ = tuned(signals())
        await kv.get_items(id="1")
        await asyncio.gather(*(kv.get_items(id="1") for _ in range(10)))
        assert far.questions == 1

    async def test_who_wants_none_of_it_asks_for_nothing(self, tuned: Tuned) -> None:
        kv, far, _ = tuned(signals(codecs=("zstd",)), Settings(attune=False))
        for _ in range(3):
            await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
        assert (far.questions, far.puts()[2].items[0].codec) == (0, None)

    async def test_calls_of_other_systems_are_none_of_its_business(self, tuned: Tuned) -> None:
        _, far, connection = tuned(signals())
        with pytest.raises(SoundstageError):
            await connection.client(Namespaces).put(namespace=NamespaceSpec(name="x", abstraction="kv"))
        assert far.questions == 0

    @pytest.mark.parametrize("namespace", [5, {}, None])
    async def test_what_is_no_name_is_left_to_the_server(self, tuned: Tuned, namespace: Any) -> None:
        kv, far, _ = tuned(signals())
        await kv.get_items(namespace=namespace, id="1")
        assert len(far.requests) == 1

    async def test_so_many_namespaces_are_known_and_no_more(self, environment: VirtualEnvironment) -> None:
        async def ask(*_: Any) -> Any:
            raise AssertionError("nobody asks")

        attuning = Attuning(ask, environment)
        for number in range(NAMESPACES_MAX + 10):
            attuning.heard(f"n{number}", "v")
        assert len(attuning._tuned) == NAMESPACES_MAX


class TestCompressing:
    async def test_large_values_are_compressed_from_the_first_on(self, tuned: Tuned) -> None:
        kv, far, _ = tuned(signals(codecs=("zstd",)))
        await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
        ((item,),) = [put.items for put in far.puts()]
        assert (item.codec, decompress("zstd", item.value, len(WORDS))) == ("zstd", WORDS)

    async def test_small_ones_as_soon_as_a_reply_told_so(self, tuned: Tuned) -> None:
        kv, far, _ = tuned(signals(codecs=("lz4",)))
        for _ in range(2):
            await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS[:500])])
        assert [put.items[0].codec for put in far.puts()] == [None, "lz4"]

    async def test_a_change_is_followed(self, tuned: Tuned, environment: VirtualEnvironment) -> None:
        kv, far, _ = tuned(signals("v1", ("zstd",)))
        for told in (signals("v1", ("zstd",)), signals("v2", ("lz4",)), signals("v3")):
            far.told = told
            await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
            await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
            environment.advance(2)
        assert [put.items[0].codec for put in far.puts()] == ["zstd", "zstd", "zstd", "lz4", "lz4", None]

    async def test_a_repetition_is_the_same_bytes(self, tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
        kv, far, _ = tuned(signals(codecs=("zstd",)))
        answer = far.handle_async_request
        failed: list[httpx2.Request] = []

        async def once_away(request: httpx2.Request) -> httpx2.Response:
            if request.url.path.endswith("/put_items") and not failed:
                failed.append(request)
                far.told = signals("v2")
                return await problem(Unavailable("no"))(request)
            return await answer(request)

        monkeypatch.setattr(far, "handle_async_request", once_away)
        await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
        assert [put.items[0].codec for put in far.puts()] == ["zstd"]
        assert failed[0].read() == far.requests[-1].read()

    @pytest.mark.parametrize(("value", "sent"), [(WORDS, ["zstd", None]), (b"small", [None])])
    async def test_what_a_namespace_does_not_take_any_more_is_sent_as_it_is(
        self, tuned: Tuned, monkeypatch: pytest.MonkeyPatch, value: bytes, sent: list[str | None]
    ) -> None:
        kv, far, _ = tuned(signals(codecs=("zstd",)))
        await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
        far.requests.clear()
        answer = far.handle_async_request

        async def made_anew(request: httpx2.Request) -> httpx2.Response:
            reply = await answer(request)
            if not request.url.path.endswith("/put_items") or far.puts()[-1].items[0].value == WORDS:
                return reply
            return await problem(InvalidArgument("no", field="items[0].codec"))(request)

        monkeypatch.setattr(far, "handle_async_request", made_anew)
        if value == WORDS:
            await kv.put_items(id="1", items=[PutItem(key=b"k", value=value)])
        else:
            with pytest.raises(InvalidArgument):
                await kv.put_items(id="1", items=[PutItem(key=b"k", value=value)])
        assert [put.items[0].codec for put in far.puts()] == sent
        assert len({put.idempotency_token for put in far.puts()}) == 1

    @pytest.mark.parametrize("end", ["applied", "lost"])
    async def test_a_write_that_is_refused_when_it_is_tried_again_is_one_write(
        self, tuned: Tuned, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        """The first try was applied and nobody heard of it; then the codec was taken no more."""
        kv, far, _ = tuned(signals(codecs=("zstd",)))
        await kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)])
        far.requests.clear()
        answer = far.handle_async_request
        lost = Unavailable("lost", outcome="unknown", retryable=True)
        away = Unavailable("away", outcome="not_applied", retryable=False)
        refused = InvalidArgument("no", field="items[0].codec")
        coming: list[SoundstageError] = [lost, refused, TokenReused("another") if end == "applied" else away]

        async def remembers(request: httpx2.Request) -> httpx2.Response:
            reply = await answer(request)
            if request.url.path.endswith("/put_items") and coming:
                return await problem(coming.pop(0))(request)
            return reply

        monkeypatch.setattr(far, "handle_async_request", remembers)
        put = kv.put_items(id="1", items=[PutItem(key=b"k", value=WORDS)], condition=Condition(absent=True))
        if end == "applied":
            await put
        else:
            with pytest.raises(Unavailable) as failed:
                await put
            assert failed.value.outcome == "unknown"
        sent = ["zstd", "zstd", None, *(["zstd"] if end == "applied" else [])]
        assert [put.items[0].codec for put in far.puts()] == sent
        assert len({put.idempotency_token for put in far.puts()}) == 1

    async def test_values_are_whole_when_they_are_read(self, meet: Meet) -> None:
        metadata = ItemMetadata(token=token(), size=1, codec="zstd")
        item = Item(key=b"k", value=compress("zstd", WORDS), metadata=metadata)

        async def packed(request: httpx2.Request) -> httpx2.Response:
            return _response(GetItemsReply(items=[item]), "")

        connection, _ = meet(packed)
        assert (await connection.client(KeyValue, "x").get_items(id="1")).items[0].value == WORDS
        raw, _ = meet(packed, settings=Settings(attune=False))
        assert (await raw.client(KeyValue, "x").get_items(id="1")).items[0].value == item.value


class TestHedging:
    async def proven(self, kv: KeyValue, far: Tuner, reads: int = 21) -> None:
        for _ in range(reads):
            await kv.get_items(id="1")
        far.requests.clear()

    async def test_a_read_that_is_later_than_its_target_is_sent_twice(self, tuned: Tuned) -> None:
        kv, far, connection = tuned(signals(slos=TARGET))
        await self.proven(kv, far)
        far.slow = True
        await kv.get_items(id="1")
        assert len(far.requests) == 2
        assert (connection.statistics.hedges, connection.statistics.hedgeable) == (1, 21)

    @pytest.mark.parametrize(
        "told",
        [
            {"slos": TARGET, "hedging": Hedging(after="never")},
            {"slos": TARGET, "hedging": Hedging(share=0.0)},
            {"slos": {}},
            {"hedging": Hedging(after="p95")},
        ],
        ids=["never", "no share", "no target", "not measured yet"],
    )
    async def test_without_leave_or_a_measure_it_is_waited_for(self, tuned: Tuned, told: dict[str, Any]) -> None:
        kv, far, connection = tuned(signals(**told))
        await self.proven(kv, far)
        assert connection.statistics.hedges == 0
        far.slow = True
        with pytest.raises(SoundstageError):
            await kv.with_options(deadline=0.1, retries=0).get_items(id="1")
        assert connection.statistics.hedges == 0

    async def test_leave_that_is_withdrawn_is_heeded(self, tuned: Tuned, environment: VirtualEnvironment) -> None:
        kv, far, _ = tuned(signals(slos=TARGET))
        await self.proven(kv, far)
        environment.advance(2)
        far.told = signals("v2", slos=TARGET, hedging=Hedging(after="never"))
        await kv.get_items(id="1")
        far.requests.clear()
        far.slow = True
        with pytest.raises(SoundstageError):
            await kv.with_options(deadline=0.1, retries=0).get_items(id="1")
        assert [request.url.path for request in far.requests] == ["/v1/kv/handshake", "/v1/kv/get_items"]

    @pytest.mark.parametrize(("writes", "sent"), [(False, 0), (True, 1)])
    async def test_writes_are_sent_twice_only_where_the_namespace_says_so(
        self, tuned: Tuned, writes: bool, sent: int
    ) -> None:
        objectives = {"put_items": LatencyObjective(target=Duration.parse("1ms")), **TARGET}
        kv, far, connection = tuned(signals(slos=objectives, hedging=Hedging(writes=writes)))
        await self.proven(kv, far, 40)
        answer = far.handle_async_request
        late: list[bytes] = []

        async def slow_once(request: httpx2.Request) -> httpx2.Response:
            if request.url.path.endswith("/put_items") and not late:
                late.append(request.read())
                for _ in range(50):
                    await asyncio.sleep(0)
            return await answer(request)

        far.handle_async_request = slow_once  # type: ignore[method-assign]
        await kv.put_items(id="1", items=[PutItem(key=b"k", value=b"v")])
        assert connection.statistics.hedges == sent
        assert {request.read() for request in far.requests} == set(late)


@given(st.lists(st.booleans(), max_size=400), st.sampled_from([0.0, 0.01, 0.03, 0.05, 0.5]))
def test_hedges_are_never_more_than_their_share_of_the_calls_so_far(late: list[bool], share: float) -> None:
    budget = hedge_budget(share)
    for calls, is_late in enumerate(late, 1):
        budget.deposit()
        if is_late:
            budget.withdraw()
        assert budget.taken <= min(share, 0.05) * calls + 1e-9
        assert budget.calls == calls


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300))
def test_a_call_is_late_when_nearly_all_others_took_less(took: list[int]) -> None:
    latencies = Latencies()
    for ns in took:
        latencies.add(ns)
    slow_ns = latencies.slow_ns()
    recent = sorted(took[-128:])
    if len(took) < 32:
        assert slow_ns is None
    else:
        assert slow_ns == recent[len(recent) * 95 // 100]


def test_calls_of_one_operation_say_nothing_of_how_late_another_is() -> None:
    get, scan = KeyValueCalls.get_items, KeyValueCalls.scan_items
    tuned = OfNamespace()
    tuned.signals = signals(hedging=Hedging(after="p95"))
    for _ in range(32):
        tuned.took(get, 1_000)
        tuned.took(scan, 5_000_000_000)
    found = [tuned.late(get), tuned.late(scan), tuned.late(KeyValueCalls.count_items)]
    assert [each and each.after_s for each in found] == [1e-6, 5.0, None]


def test_the_attunement_of_kv_asks_by_its_handshake() -> None:
    operation, request = ATTUNEMENT.question("people")
    assert (operation.path, request.namespace) == ("/v1/kv/handshake", "people")


@pytest.mark.parametrize(("size", "aside"), [(8 << 10, False), (MIB, True)])
async def test_large_values_are_compressed_and_undone_in_a_thread(
    tuned: Tuned, monkeypatch: pytest.MonkeyPatch, size: int, aside: bool
) -> None:
    places: list[bool] = []

    def noted(act: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any) -> Any:
            places.append(threading.current_thread() is not threading.main_thread())
            return act(*arguments)

        return noting

    for name in ("outgoing", "incoming"):
        monkeypatch.setattr(ATTUNEMENT, name, noted(getattr(ATTUNEMENT, name)), raising=True)
    value = bytes(size)
    kv, far, connection = tuned(signals(codecs=("zstd",)))
    await kv.put_items(id="a", items=[PutItem(key=b"k", value=value)])
    (put,) = far.puts()
    coded = Item(
        key=b"k", value=put.items[0].value, metadata=ItemMetadata(token=token("t"), size=size, codec=put.items[0].codec)
    )
    request = GetItems(namespace="people", id="a")
    understanding = connection._attuning.understanding
    reply = await understanding.understood(KeyValueCalls.get_items, request, GetItemsReply(items=[coded]))
    assert (reply.items[0].value, places) == (value, [aside, aside])
