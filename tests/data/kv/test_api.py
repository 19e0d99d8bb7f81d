"""The messages and operations as the wire names them."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import pytest

from soundstage.core.codec import JSON, MSGPACK, decoder, json_encode, msgpack_encode
from soundstage.core.errors import InvalidArgument
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.operation import operations_of
from soundstage.data.kv import api

WIRE = {
    "put_items": ("namespace id items idempotency_token condition", "idempotency_token remember_for", "write"),
    "get_items": (
        "namespace id predicate selection min_version page_token",
        "items record_token next_page_token",
        "read",
    ),
    "delete_items": ("namespace id predicate idempotency_token condition", "idempotency_token remember_for", "write"),
    "mutate_items": ("mutations apply_at idempotency_token", "idempotency_token mutation_id", "write"),
    "scan_items": ("namespace segment total_segments selection page_token", "records next_page_token", "read"),
    "batch_get_items": ("namespace ids predicate selection", "records", "read"),
    "count_items": ("namespace id predicate", "count exact", "read"),
    "handshake": ("namespace client", "signals", "read"),
    "truncate": ("namespace confirm idempotency_token", "idempotency_token", "admin"),
    "watch_items": ("namespace id prefix since cursor", "cursor id idempotency_token items deleted truncated", "read"),
    "put_value": (
        "namespace id key ttl idempotency_token condition",
        "idempotency_token size checksum remember_for",
        "write",
    ),
    "get_value": ("namespace id key start end min_version", "token expires_at size checksum codec", "read"),
    "export_parquet": ("namespace max_value_bytes", "namespace file records items bytes left_out", "read"),
    "train_dictionary": (
        "namespace size sample_bytes",
        "namespace codec size samples judged plain_bytes zstd_bytes bytes",
        "admin",
    ),
    "list_dictionaries": ("namespace", "dictionaries", "read"),
    "get_dictionary": ("namespace codec", "codec content", "read"),
    "retire_dictionary": ("namespace codec", "retired", "admin"),
    "drop_dictionaries": ("namespace", "namespace dropped needed waiting items", "admin"),
    "import_parquet": ("namespace file versions", "namespace items bytes expired", "write"),
}
"""Fields of request and reply, and the access, by operation."""

PARTS: dict[type[Any], str] = {
    api.PutItem: "key value ttl codec",
    api.ClientCapabilities: "codecs chunking version",
    api.KeyValueSignals: "version hold slos hedging page_size_bytes page_size_max chunk_threshold value_max codecs "
    "compress_from compress_level dictionary_from",
    api.DictionaryInfo: "codec state size samples created_at since",
    api.Item: "key value metadata withheld",  # the last is set by clients and never sent
    api.ItemMetadata: "token expires_at size codec",
    api.Predicate: "match_all match_keys match_range",
    api.MatchAll: "",
    api.MatchKeys: "keys",
    api.MatchRange: "start start_inclusive end end_inclusive",
    api.Selection: "page_size_bytes item_limit reverse include_values max_value_bytes",
    api.Condition: "key absent token",
    api.Mutation: "put delete",
    api.PutMutation: "namespace id items",
    api.DeleteMutation: "namespace id predicate",
    api.ScannedRecord: "id items",
    api.BatchRecord: "id items next_page_token",
}

TOKEN = IdempotencyToken(Instant(1_700_000_000_000_001_000), "t")


@pytest.mark.parametrize("name", WIRE)
def test_an_operation_has_the_fields_and_the_access_of_the_wire(name: str) -> None:
    operation = operations_of(api.CALLS)[name]
    request, reply, access = WIRE[name]
    assert operation.request.__struct_fields__ == tuple(request.split())
    assert operation.reply.__struct_fields__ == tuple(reply.split())
    assert operation.access == access


def test_there_are_no_other_operations() -> None:
    assert set(operations_of(api.CALLS)) == set(WIRE)


def test_every_operation_may_be_repeated() -> None:
    # The start of a job carries a key of its own, see `Connection.start_job`.
    calls = [operation for operation in operations_of(api.CALLS).values() if operation.kind != "job"]
    assert all(operation.idempotent for operation in calls)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_a_part_of_a_message_has_the_fields_of_the_wire(part: type[Any]) -> None:
    assert part.__struct_fields__ == tuple(PARTS[part].split())


def test_every_message_is_listed_here() -> None:
    structs = {
        found
        for found in vars(api).values()
        if inspect.isclass(found) and issubclass(found, msgspec.Struct) and found.__module__.startswith(api.__name__)
    }
    operations = operations_of(api.CALLS).values()
    messages = {operation.request for operation in operations} | {operation.reply for operation in operations}
    assert structs == messages | set(PARTS)


def test_a_range_is_inclusive_at_its_start_and_exclusive_at_its_end() -> None:
    assert (api.MatchRange().start_inclusive, api.MatchRange().end_inclusive) == (True, False)


def test_values_are_returned_unless_left_out() -> None:
    assert api.Selection() == api.Selection(include_values=True, reverse=False)


def test_in_json_bytes_are_base64_and_instants_text() -> None:
    metadata = api.ItemMetadata(token=TOKEN, size=1)
    assert msgspec.json.decode(json_encode(api.Item(key=b"k", value=b"\xff", metadata=metadata))) == {
        "key": "aw==",
        "value": "/w==",
        "metadata": {"token": {"generation_time": "2023-11-14T22:13:20.000001Z", "token": "t"}, "size": 1},
    }


def test_in_messagepack_bytes_are_bytes_and_instants_integers() -> None:
    metadata = api.ItemMetadata(token=TOKEN, size=1)
    found = msgspec.msgpack.decode(msgpack_encode(api.Item(key=b"k", value=b"\xff", metadata=metadata)))
    assert (found["key"], found["metadata"]["token"]["generation_time"]) == (b"k", 1_700_000_000_000_001_000)


def test_an_empty_record_is_an_empty_list_of_items() -> None:
    assert msgspec.json.decode(json_encode(api.GetItemsReply(items=[]))) == {"items": []}


@pytest.mark.parametrize("wire", [JSON, MSGPACK])
def test_a_request_goes_over_the_wire_and_back(wire: Any) -> None:
    request = api.PutItems(
        namespace="people",
        id="ada",
        items=[api.PutItem(key=b"\0", value=b"\xff" * 9)],
        idempotency_token=TOKEN,
        condition=[api.Condition(key=b"k", absent=True), api.Condition(token=TOKEN)],
    )
    body = json_encode(request) if wire == JSON else msgpack_encode(request)
    assert decoder(api.PutItems, wire).decode(body) == request


@pytest.mark.parametrize("condition", [{"absent": True}, [{"absent": True}]])
def test_a_condition_may_be_one_or_a_list(condition: Any) -> None:
    body = msgspec.json.encode({"id": "ada", "items": [], "condition": condition})
    assert decoder(api.PutItems, JSON).decode(body).condition in (
        api.Condition(absent=True),
        [api.Condition(absent=True)],
    )


@pytest.mark.parametrize(
    "body", [{"id": "ada", "item": []}, {"id": "ada", "items": [], "ttl": 5}, {"id": "ada", "items": [{"keyy": ""}]}]
)
def test_an_unknown_field_is_refused_by_name(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        decoder(api.PutItems, JSON).decode(msgspec.json.encode(body))
    assert refused.value.field in ("item", "ttl", "items[0].keyy")


def test_keys_that_are_text_are_refused_in_messagepack() -> None:
    body = msgspec.msgpack.encode({"id": "ada", "items": [{"key": 5, "value": b""}]})
    with pytest.raises(InvalidArgument) as refused:
        decoder(api.PutItems, MSGPACK).decode(body)
    assert refused.value.field == "items[0].key"


class TestTags:
    TAG = api.tag_of(TOKEN, "0123456789abcdef" * 2)

    def test_a_tag_holds_the_write_and_what_it_wrote(self) -> None:
        assert self.TAG == "1700000000000001.0123456789abcdef.t"

    def test_the_token_of_a_tag_is_plain_ascii(self) -> None:
        token = IdempotencyToken(TOKEN.generation_time, 'é", .')
        tag = api.tag_of(token, "0" * 32)
        assert tag.isascii()
        assert '"' not in tag
        request = api.matching(api.PutValue(id="a", key=b"k"), [tag], None)
        assert request.condition == api.Condition(key=b"k", token=token)

    def test_without_tags_nothing_is_a_condition(self) -> None:
        request = api.PutValue(id="a", key=b"k")
        assert api.matching(request, None, None) is request

    def test_any_tag_unwanted_means_that_there_is_none(self) -> None:
        request = api.matching(api.PutValue(id="a", key=b"k"), None, ["*"])
        assert request.condition == api.Condition(key=b"k", absent=True)

    @pytest.mark.parametrize(
        ("wanted", "unwanted"),
        [(["*"], None), (["a", "b"], None), (["nonsense"], None), (None, [TAG]), ([TAG], ["*"]), ([], None)],
    )
    def test_what_cannot_be_held_against_a_value_is_refused(
        self, wanted: list[str] | None, unwanted: list[str] | None
    ) -> None:
        with pytest.raises(InvalidArgument, match="cannot be held"):
            api.matching(api.PutValue(id="a", key=b"k"), wanted, unwanted)

    def test_a_condition_and_a_tag_are_one_too_many(self) -> None:
        request = api.PutValue(id="a", key=b"k", condition=api.Condition(absent=True))
        with pytest.raises(InvalidArgument, match="twice"):
            api.matching(request, None, ["*"])
