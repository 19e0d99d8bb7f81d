"""What clients of the key-value store do of themselves: every value comes back as it went, however it was stored."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.kv.conftest import make, values
from tests.data.kv.followers import taken

from soundstage.core.attunement import LONG_US, Hedging
from soundstage.core.codec import JSON, decoder
from soundstage.core.compression import compress, known_codecs
from soundstage.core.dictionaries import Dictionaries
from soundstage.core.errors import Internal, TooLarge
from soundstage.core.message import Duration, IdempotencyToken, Instant
from soundstage.data.kv.api import (
    BatchGetItemsReply,
    BatchRecord,
    Condition,
    DeleteMutation,
    GetItemsReply,
    Item,
    ItemChange,
    ItemMetadata,
    KeyValueCalls,
    KeyValueSignals,
    MatchAll,
    MutateItems,
    Mutation,
    Predicate,
    PutItem,
    PutItems,
    PutMutation,
    ScanItemsReply,
    ScannedRecord,
)
from soundstage.data.kv.attunement import ATTUNEMENT, METADATA_BYTES
from soundstage.runtime.stage import Stage

WORDS = b"words and words " * 30
TOKEN = IdempotencyToken(Instant(1_000), "t")
MIB = 1 << 20

PLAIN = KeyValueSignals(
    version="1",
    hold=Duration(1),
    slos={},
    hedging=Hedging(),
    page_size_bytes=1,
    page_size_max=1,
    chunk_threshold=1,
    value_max=1,
    codecs=["none"],
    compress_from=0,
    compress_level=3,
)


def wanting(*codecs: str, least: int = 0) -> KeyValueSignals:
    return msgspec.structs.replace(PLAIN, codecs=[*codecs, "none"], compress_from=least)


def sent(items: list[PutItem], signals: KeyValueSignals | None) -> list[PutItem]:
    request = PutItems(namespace="people", id="ada", items=items)
    return ATTUNEMENT.outgoing(KeyValueCalls.put_items, request, lambda namespace: signals, Dictionaries()).items


def stored(item: PutItem) -> Item:
    """What a server gives back of an item."""
    metadata = ItemMetadata(token=TOKEN, size=len(item.value), codec=item.codec)
    return Item(key=item.key, value=item.value, metadata=metadata)


def shown(message: Any, limit: int = MIB) -> Any:
    return ATTUNEMENT.incoming(KeyValueCalls.get_items, message, limit, Dictionaries())


_value = st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=20).map(lambda part: part * 40))
_codec = st.sampled_from([None, *known_codecs()])


def test_a_request_that_was_read_from_text_as_the_command_line_does_is_compressed_too() -> None:
    put = PutItems(namespace="people", id="ada", items=[PutItem(key=b"k", value=WORDS * 10)])
    wanted = wanting("zstd")
    read = decoder(PutItems, JSON).decode(msgspec.json.encode(put))
    assert ATTUNEMENT.urges(KeyValueCalls.put_items, read)
    (item,) = ATTUNEMENT.outgoing(KeyValueCalls.put_items, read, lambda namespace: wanted, Dictionaries()).items
    assert item.codec == "zstd"
    both = MutateItems(mutations=[Mutation(put=PutMutation(namespace="people", id="ada", items=list(put.items)))])
    read = decoder(MutateItems, JSON).decode(msgspec.json.encode(both))
    assert ATTUNEMENT.namespaces(KeyValueCalls.mutate_items, read) == ["people"]
    (mutation,) = ATTUNEMENT.outgoing(
        KeyValueCalls.mutate_items, read, lambda namespace: wanted, Dictionaries()
    ).mutations
    assert mutation.put.items[0].codec == "zstd"


@settings(deadline=None)
@given(st.lists(st.tuples(_value, _codec), max_size=12), st.sampled_from(["zstd", "lz4", None]))
def test_any_bytes_come_back_under_any_mix_of_codecs(mixed: list[tuple[bytes, str | None]], wanted: str | None) -> None:
    items = [
        PutItem(key=b"%d" % index, value=value if codec is None else compress(codec, value), codec=codec)
        for index, (value, codec) in enumerate(mixed)
    ]
    gone = sent(items, wanting(wanted) if wanted else PLAIN)
    assert [item.value for item in shown(GetItemsReply(items=[stored(item) for item in gone])).items] == [
        value for value, _ in mixed
    ]


class TestOutgoing:
    def test_values_are_compressed_by_the_first_codec_that_is_known(self) -> None:
        (item,) = sent([PutItem(key=b"k", value=WORDS, ttl=Duration(5))], wanting("brotli", "lz4", "zstd"))
        assert (item.codec, item.key, item.ttl) == ("lz4", b"k", Duration(5))
        assert len(item.value) < len(WORDS) / 4

    @pytest.mark.parametrize("signals", [None, PLAIN, wanting("brotli")])
    def test_nothing_is_done_where_nothing_is_wanted(self, signals: KeyValueSignals | None) -> None:
        items = [PutItem(key=b"k", value=WORDS)]
        assert sent(items, signals) is items

    def test_a_value_that_is_too_small_stays_as_it_is(self) -> None:
        items = [PutItem(key=b"k", value=WORDS)]
        assert sent(items, wanting("zstd", least=len(WORDS) + 1)) is items

    def test_so_does_one_that_gains_nothing(self) -> None:
        value = bytes(range(256))
        assert sent([PutItem(key=b"k", value=value)], wanting("zstd"))[0].codec is None

    def test_to_say_how_it_is_compressed_counts_as_well(self) -> None:
        value = b"x" * (METADATA_BYTES + 5)
        assert sent([PutItem(key=b"k", value=value)], wanting("zstd"))[0].value == value

    def test_what_the_caller_has_compressed_is_not_touched(self) -> None:
        items = [
            PutItem(key=b"k", value=WORDS, codec="none"),
            PutItem(key=b"l", value=compress("zstd", WORDS), codec="zstd"),
        ]
        assert sent(items, wanting("lz4")) is items

    def test_what_is_no_value_is_left_to_the_server(self) -> None:
        items = [PutItem(key=b"k", value="text")]  # type: ignore[arg-type]
        assert sent(items, wanting("zstd")) is items

    @pytest.mark.parametrize(
        "misfit",
        [{"items": [{"key": b"k", "value": WORDS}, 5]}, {"items": None}, {"items": 5}, {"namespace": []}],
        ids=["items as plain values", "no items", "a number of items", "a list as a name"],
    )
    def test_so_is_what_is_no_item_or_no_name(self, misfit: dict[str, Any]) -> None:
        given: dict[str, Any] = {"namespace": "a", "id": "ada", "items": [PutItem(key=b"k", value=WORDS)], **misfit}
        put: dict[str, Any] = {"put": {}}
        mutations: list[Any] = [Mutation(put=PutMutation(**given)), Mutation(**put), {"put": given}, None]
        for operation, request in (
            (KeyValueCalls.put_items, PutItems(**given)),
            (KeyValueCalls.mutate_items, MutateItems(mutations=mutations)),
        ):
            assert not ATTUNEMENT.urges(operation, request)
            assert set(ATTUNEMENT.namespaces(operation, request)) <= {"a"}
            assert ATTUNEMENT.outgoing(operation, request, lambda namespace: wanting("zstd"), Dictionaries()) == request

    def test_the_caller_keeps_what_it_gave(self) -> None:
        items = [PutItem(key=b"k", value=WORDS)]
        sent(items, wanting("zstd"))
        assert items == [PutItem(key=b"k", value=WORDS)]

    def test_the_same_values_become_the_same_bytes(self) -> None:
        items = [PutItem(key=b"k", value=WORDS)]
        assert sent(items, wanting("zstd")) == sent(items, wanting("zstd"))

    @pytest.mark.parametrize(
        ("token", "condition", "codec"),
        [
            (None, None, "zstd"),
            (TOKEN, None, "zstd"),
            (None, Condition(absent=True), "zstd"),
            (TOKEN, Condition(absent=True), None),
        ],
    )
    def test_what_its_caller_may_repeat_under_a_condition_is_sent_as_it_is(
        self, token: IdempotencyToken | None, condition: Condition | None, codec: str | None
    ) -> None:
        items = [PutItem(key=b"k", value=WORDS)]
        request = PutItems(namespace="a", id="ada", items=items, idempotency_token=token, condition=condition)
        gone = ATTUNEMENT.outgoing(KeyValueCalls.put_items, request, lambda namespace: wanting("zstd"), Dictionaries())
        assert gone.items[0].codec == codec

    def test_so_is_a_set_that_its_caller_may_repeat(self) -> None:
        put = PutMutation(namespace="a", id="ada", items=[PutItem(key=b"k", value=WORDS)])
        request = MutateItems(mutations=[Mutation(put=put)], idempotency_token=TOKEN)
        assert (
            ATTUNEMENT.outgoing(KeyValueCalls.mutate_items, request, lambda namespace: wanting("zstd"), Dictionaries())
            is request
        )

    def test_each_put_of_a_set_is_as_its_namespace_wants(self) -> None:
        puts = [PutMutation(namespace=name, id="ada", items=[PutItem(key=b"k", value=WORDS)]) for name in "abc"]
        delete = DeleteMutation(namespace="d", id="ada", predicate=Predicate(match_all=MatchAll()))
        request = MutateItems(mutations=[*(Mutation(put=put) for put in puts), Mutation(delete=delete)])
        wanted = {"a": wanting("zstd"), "b": wanting("lz4")}
        gone = ATTUNEMENT.outgoing(KeyValueCalls.mutate_items, request, wanted.get, Dictionaries()).mutations
        assert [each.put.items[0].codec for each in gone if each.put is not None] == ["zstd", "lz4", None]
        assert gone[3].delete is delete
        assert ATTUNEMENT.namespaces(KeyValueCalls.mutate_items, request) == ["a", "b", "c"]

    def test_large_values_are_worth_asking_first(self) -> None:
        large = PutItems(namespace="a", id="ada", items=[PutItem(key=b"k", value=bytes(1_024))])
        small = PutItems(namespace="a", id="ada", items=[PutItem(key=b"k", value=bytes(1_023))])
        assert ATTUNEMENT.urges(KeyValueCalls.put_items, large)
        assert not ATTUNEMENT.urges(KeyValueCalls.put_items, small)


class TestIncoming:
    PACKED = PutItem(key=b"k", value=compress("zstd", WORDS), codec="zstd")

    @pytest.mark.parametrize(
        "message",
        [
            GetItemsReply(items=[stored(PACKED)]),
            ScanItemsReply(records=[ScannedRecord(id="ada", items=[stored(PACKED)])]),
            BatchGetItemsReply(records=[BatchRecord(id="ada", items=[stored(PACKED)])]),
            ItemChange(cursor="1", id="ada", idempotency_token=TOKEN, items=[stored(PACKED)]),
        ],
        ids=lambda message: type(message).__name__,
    )
    def test_values_are_whole_wherever_they_are_told(self, message: Any) -> None:
        assert ATTUNEMENT.is_coded(KeyValueCalls.get_items, message)
        found = shown(message)
        items = found.items if hasattr(found, "items") else found.records[0].items
        assert items[0].value == WORDS

    @pytest.mark.parametrize("message", [GetItemsReply(items=[]), ItemChange(cursor="1", idempotency_token=TOKEN)])
    def test_what_has_no_codec_is_none_of_its_business(self, message: Any) -> None:
        assert not ATTUNEMENT.is_coded(KeyValueCalls.get_items, message)
        assert shown(message) is message

    def test_the_metadata_is_that_of_what_is_stored(self) -> None:
        (item,) = shown(GetItemsReply(items=[stored(self.PACKED)])).items
        assert (item.metadata.size, item.metadata.codec) == (len(self.PACKED.value), "zstd")

    def test_a_value_that_was_left_out_stays_out(self) -> None:
        left_out = Item(key=b"k", metadata=ItemMetadata(token=TOKEN, size=99, codec="zstd"))
        assert shown(GetItemsReply(items=[left_out])).items == [left_out]

    def test_all_values_of_a_reply_share_the_limit(self) -> None:
        reply = GetItemsReply(items=[stored(self.PACKED) for _ in range(3)])
        with pytest.raises(TooLarge):
            shown(reply, 3 * len(WORDS) - 1)

    LIES = (
        PutItem(key=b"a", value=b"as it is", codec="zstd"),
        PutItem(key=b"b", value=b"as it is", codec="lz4"),
        PutItem(key=b"c", value=compress("zstd", bytes(MIB + 1)), codec="zstd"),
        PutItem(key=b"d", value=compress("lz4", bytes(MIB + 1)), codec="lz4"),
    )

    def test_a_value_that_nobody_can_undo_keeps_nobody_from_the_others(self) -> None:
        found = shown(GetItemsReply(items=[stored(item) for item in (*self.LIES, self.PACKED)])).items
        assert [item.value for item in found] == [None] * len(self.LIES) + [WORDS]
        assert [item.metadata for item in found[:-1]] == [stored(item).metadata for item in self.LIES]

    def test_values_that_do_not_say_their_size_are_undone_up_to_the_limit_of_the_reply_in_all(self) -> None:
        bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2 * MIB))
        bombs = [PutItem(key=b"%d" % number, value=bomb, codec="zstd") for number in range(9)]
        quiet = zstandard.ZstdCompressor(write_content_size=False).compress(WORDS)
        first, last = (PutItem(key=key, value=quiet, codec="zstd") for key in (b"0", b"z"))
        found = shown(GetItemsReply(items=[stored(item) for item in (first, *bombs, last, self.PACKED)])).items
        assert [item.value for item in found] == [WORDS, *[None] * 10, WORDS]

    def test_a_change_is_told_with_as_many_of_its_values_as_fit(self) -> None:
        plain = PutItem(key=b"n", value=WORDS, codec="none")
        items = [stored(item) for item in (self.PACKED, *self.LIES, self.PACKED, plain, self.PACKED)]
        change = shown(ItemChange(cursor="1", id="ada", idempotency_token=TOKEN, items=items), 2 * len(WORDS) - 1)
        assert [item.value for item in change.items] == [WORDS, *[None] * len(self.LIES), None, WORDS, None]

    def test_a_codec_that_is_not_known_is_told_with_the_key(self) -> None:
        with pytest.raises(Internal) as unknown:
            shown(GetItemsReply(items=[stored(PutItem(key=b"k", value=b"v", codec="brotli"))]))
        assert unknown.value.field == "item b'k'"


class TestInProcess:
    """Callers in process are shown values as they went, too."""

    async def test_codecs_beside_each_other_are_read_by_every_call(self, plain_stage: Stage) -> None:
        kv = await make(plain_stage, "people", compression={"codecs": ["zstd", "lz4"]}, watch=True)
        items = [
            PutItem(key=b"l", value=compress("lz4", WORDS), codec="lz4"),
            PutItem(key=b"n", value=WORDS),
            PutItem(key=b"z", value=compress("zstd", WORDS), codec="zstd", ttl=Duration.parse("1h")),
        ]
        await kv.put_items(id="ada", items=items)
        whole = {b"l": WORDS, b"n": WORDS, b"z": WORDS}
        assert values((await kv.get_items(id="ada")).items) == whole
        assert values((await kv.with_options(deadline=5.0).get_items(id="ada")).items) == whole
        assert values((await kv.scan_items()).records[0].items) == whole
        assert values((await kv.batch_get_items(ids=["ada"])).records[0].items) == whole
        async for change in kv.watch_items(cursor="0"):
            assert values(change.items or []) == whole
            break

    async def test_a_writer_who_lies_about_a_codec_stops_no_reader(self, plain_stage: Stage) -> None:
        kv = await make(plain_stage, "people", compression={"codecs": ["zstd"]}, watch=True)
        await kv.put_items(id="ada", items=[PutItem(key=b"k", value=b"no frame", codec="zstd")])
        await kv.put_items(id="ada", items=[PutItem(key=b"l", value=WORDS)])
        seen = {b"k": None, b"l": WORDS}
        assert values((await kv.get_items(id="ada")).items) == seen
        assert [item.withheld for item in (await kv.get_items(id="ada")).items] == ["damaged", None]
        assert values((await kv.scan_items()).records[0].items) == seen
        told = await taken(kv.watch_items(cursor="0"), 2)
        assert [values(change.items or []) for change in told] == [{b"k": None}, {b"l": WORDS}]
        async with kv.get_value(id="ada", key=b"k") as content:
            assert await content.read() == b"no frame"

    async def test_one_item_is_whole_each_time_it_is_read(self, stage: Stage) -> None:
        kv = await make(stage, "people", compression={"codecs": ["zstd"]})
        await kv.put_items(id="ada", items=[PutItem(key=b"k", value=compress("zstd", WORDS), codec="zstd")])
        one = msgspec.convert({"match_keys": {"keys": [b"k"]}}, Predicate)
        assert [values((await kv.get_items(id="ada", predicate=one)).items) for _ in range(3)] == [{b"k": WORDS}] * 3

    async def test_a_large_value_keeps_its_codec_in_chunks(self, stage: Stage) -> None:
        kv = await make(stage, "people", compression={"codecs": ["zstd"]}, chunk_threshold="1KiB", chunk_bytes="16KiB")
        value = random.Random(7).randbytes(40_000) * 2
        frame = compress("zstd", value)
        assert len(frame) > 40_000
        await kv.put_items(id="ada", items=[PutItem(key=b"n", value=value)])
        await kv.put_items(id="ada", items=[PutItem(key=b"z", value=frame, codec="zstd")])
        found = (await kv.get_items(id="ada")).items
        assert values(found) == {b"n": value, b"z": value}
        assert [(item.metadata.size, item.metadata.codec) for item in found] == [
            (len(value), None),
            (len(frame), "zstd"),
        ]


class TestLabour:
    """What clients leave to a thread, by how long it is going to take."""

    @staticmethod
    def outgoing_us(item: PutItem, signals: KeyValueSignals | None) -> int:
        request = PutItems(namespace="people", id="ada", items=[item])
        return ATTUNEMENT.outgoing_us(KeyValueCalls.put_items, request, lambda namespace: signals)

    def test_a_large_value_is_long_and_a_small_one_is_not(self) -> None:
        sizes = (16 << 10, MIB)
        found = [self.outgoing_us(PutItem(key=b"k", value=bytes(size)), wanting("zstd")) for size in sizes]
        assert found[0] < LONG_US <= found[1]

    @pytest.mark.parametrize(
        ("item", "signals"),
        [
            (PutItem(key=b"k", value=bytes(MIB)), PLAIN),
            (PutItem(key=b"k", value=bytes(MIB)), None),
            (PutItem(key=b"k", value=bytes(MIB)), wanting("zstd", least=2 * MIB)),
            (PutItem(key=b"k", value=bytes(MIB), codec="none"), wanting("zstd")),
        ],
    )
    def test_what_stays_as_it_is_takes_no_time(self, item: PutItem, signals: KeyValueSignals | None) -> None:
        assert self.outgoing_us(item, signals) == 0

    @pytest.mark.parametrize(("size", "is_long"), [(16 << 10, False), (2 * MIB, True)])
    def test_a_reply_takes_as_long_as_what_it_becomes_is_large(self, size: int, is_long: bool) -> None:
        reply = GetItemsReply(items=[stored(PutItem(key=b"k", value=compress("zstd", bytes(size)), codec="zstd"))])
        assert (ATTUNEMENT.incoming_us(KeyValueCalls.get_items, reply, 64 * MIB) >= LONG_US) == is_long

    def test_one_that_does_not_say_may_become_anything(self) -> None:
        frame = zstandard.ZstdCompressor(write_content_size=False).compress(WORDS)
        reply = GetItemsReply(items=[stored(PutItem(key=b"k", value=frame, codec="zstd"))])
        assert ATTUNEMENT.incoming_us(KeyValueCalls.get_items, reply, 64 * MIB) >= LONG_US
