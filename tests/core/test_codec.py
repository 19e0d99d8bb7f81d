"""Messages to bytes and back: what the door refuses, what stores forgive, what is left out."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.messages import Everything, Inner, OnlyNone, Tree

from soundstage.core.codec import (
    JSON,
    MSGPACK,
    ContentType,
    convert,
    decoder,
    encoder,
    json_encode,
    msgpack_encode,
    request_encoder,
)
from soundstage.core.errors import InvalidArgument
from soundstage.core.limits import DEPTH_MAX
from soundstage.core.message import Duration, Instant
from soundstage.core.size import Size

both_formats = pytest.mark.parametrize("wire", [JSON, MSGPACK])

FULL = Everything(
    id="a",
    count=-3,
    small=7,
    ratio=0.5,
    at=Instant(1_700_000_000_123_456_789),
    ttl=Duration(250_000_000),
    size=Size(4096),
    order="desc",
    items=[Inner(key=b"\x00\xff")],
    by_name={"x": Inner(key=b"k", note="n")},
    free={"a": [1, "b"]},
)


def body_of(message: Any, wire: ContentType) -> bytes:
    """Plain maps as a client of another language would send them."""
    return msgspec.json.encode(message) if wire == JSON else msgspec.msgpack.encode(message)


def refusal_of(body: bytes, wire: ContentType = JSON, type: Any = Everything) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        decoder(type, wire).decode(body)
    return caught.value


@both_formats
def test_what_is_encoded_is_decoded_alike(wire: ContentType) -> None:
    assert decoder(Everything, wire).decode(encoder(wire)(FULL)) == FULL


@pytest.mark.slow
@given(st.text(), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=20))
def test_both_formats_carry_the_same_values(text: str, count: int, key: bytes) -> None:
    message = Everything(id=text, count=count, items=[Inner(key=key)])
    assert decoder(Everything, JSON).decode(json_encode(message)) == message
    assert decoder(Everything, MSGPACK).decode(msgpack_encode(message)) == message


def test_json_carries_instants_as_text_and_bytes_as_base64() -> None:
    sent = msgspec.json.decode(json_encode(FULL))
    assert (sent["at"], sent["ttl"], sent["size"]) == ("2023-11-14T22:13:20.123456789Z", "250ms", 4096)
    assert sent["items"] == [{"key": "AP8="}]


def test_messagepack_carries_instants_as_integers_and_bytes_as_bin() -> None:
    sent = msgspec.msgpack.decode(msgpack_encode(FULL))
    assert (sent["at"], sent["items"][0]["key"]) == (1_700_000_000_123_456_789, b"\x00\xff")


@both_formats
def test_only_none_is_left_out(wire: ContentType) -> None:
    body = encoder(wire)(Everything(id="a"))
    sent = msgspec.json.decode(body) if wire == JSON else msgspec.msgpack.decode(body)
    assert sent == {"id": "a", "count": 0, "order": "asc", "items": [], "by_name": {}}


def test_an_absent_field_of_a_plain_struct_is_left_out() -> None:
    assert json_encode(OnlyNone(id="a")) == b'{"id":"a"}'


def test_lists_and_maps_alone_are_encoded_by_the_same_rule() -> None:
    assert msgspec.json.decode(json_encode([Everything(id="a", at=None)]))[0].keys() >= {"id", "count"}
    assert b"note" not in json_encode({"x": Inner(key=b"")})


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@both_formats
def test_numbers_that_are_none_are_never_sent(wire: ContentType, wrong: float) -> None:
    with pytest.raises(ValueError, match="ratio"):
        encoder(wire)(Everything(id="a", ratio=wrong))


def test_a_null_that_is_no_number_is_no_reason_to_refuse() -> None:
    assert b"null" in json_encode(Everything(id="null"))


@both_formats
def test_a_request_encoder_writes_what_a_reader_of_the_type_understands(wire: ContentType) -> None:
    assert decoder(Everything, wire).decode(request_encoder(wire)(FULL)) == FULL
    assert decoder(Everything, wire).decode(request_encoder(wire)(Everything(id="a"))) == Everything(id="a")


@both_formats
@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"id": "a", "itms": []}, "itms"),
        ({"id": "a", "items": [{"key": b"k", "kay": 1}]}, "items[0].kay"),
        ({"id": "a", "by_name": {"x": {"key": b"k", "other": 1}}}, "by_name[...].other"),
        ({}, "id"),
        ({"id": 5}, "id"),
        ({"id": "a", "order": "up"}, "order"),
        ({"id": "a", "small": 11}, "small"),
        ({"id": "a", "small": 0}, "small"),
        ({"id": "a", "ttl": 5}, "ttl"),
        ({"id": "a", "ttl": "5 years"}, "ttl"),
        ({"id": "a", "at": "yesterday"}, "at"),
    ],
)
def test_the_door_names_the_field_that_is_wrong(wire: ContentType, message: Any, field: str) -> None:
    refused = refusal_of(body_of(message, wire), wire)
    assert refused.field == field
    assert field.rpartition(".")[2].partition("[")[0] in str(refused)


def test_a_typo_is_told_what_was_meant() -> None:
    assert refusal_of(b'{"id":"a","itms":[]}').hint == "did you mean items?"


def test_an_unknown_field_like_no_other_is_told_what_there_is() -> None:
    assert "count" in (refusal_of(b'{"id":"a","zzz":1}').hint or "")


def test_a_wrong_choice_is_told_the_choices() -> None:
    assert refusal_of(b'{"id":"a","order":"up"}').hint == "one of asc, desc"


@both_formats
def test_stores_and_clients_skip_what_they_do_not_know(wire: ContentType) -> None:
    read = decoder(Everything, wire, strict=False).decode(body_of({"id": "a", "newer": {"x": 1}}, wire))
    assert read == Everything(id="a")


def test_a_message_read_at_the_door_equals_one_made_here() -> None:
    read = decoder(Everything, JSON).decode(b'{"id":"a"}')
    assert (read == Everything(id="a"), Everything(id="a") == read, isinstance(read, Everything)) == (True, True, True)


@pytest.mark.parametrize("count", [2**63, -(2**63) - 1, 10**30])
@both_formats
def test_integers_beyond_64_bits_are_refused(wire: ContentType, count: int) -> None:
    if wire == MSGPACK and not -(2**63) <= count < 2**64:
        return
    assert (
        refusal_of(
            body_of({"id": "a", "count": count}, wire) if wire == MSGPACK else f'{{"id":"a","count":{count}}}'.encode(),
            wire,
        ).field
        == "count"
    )


@pytest.mark.parametrize(("text", "count"), [("5", 5), ("-9223372036854775808", -(2**63)), ("0", 0)])
def test_strings_of_digits_are_integers_in_json(text: str, count: int) -> None:
    assert decoder(Everything, JSON).decode(msgspec.json.encode({"id": "a", "count": text})).count == count


class Limited(msgspec.Struct):
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None


def test_strings_of_digits_are_integers_where_null_is_allowed_too() -> None:
    assert decoder(Limited, JSON).decode(b'{"limit":"5"}').limit == 5
    with pytest.raises(InvalidArgument, match=">= 1"):
        decoder(Limited, JSON).decode(b'{"limit":"0"}')


@pytest.mark.parametrize("text", ["", "05", "1e3", "5.0", "+5", " 5", "9223372036854775808"])
def test_other_strings_are_no_integers(text: str) -> None:
    assert refusal_of(msgspec.json.encode({"id": "a", "count": text})).field == "count"


def test_strings_of_digits_are_no_integers_in_messagepack() -> None:
    assert refusal_of(msgspec.msgpack.encode({"id": "a", "count": "5"}), MSGPACK).field == "count"


def test_integers_as_text_are_found_beside_other_faults() -> None:
    refused = refusal_of(b'{"id":"a","count":"5","itms":1}')
    assert refused.field == "itms"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_numbers_that_are_none_are_refused_in_json(number: bytes) -> None:
    with pytest.raises(InvalidArgument):
        decoder(Everything, JSON).decode(b'{"id":"a","ratio":' + number + b"}")


def test_numbers_that_are_none_are_refused_in_messagepack() -> None:
    refused = refusal_of(msgspec.msgpack.encode({"id": "a", "ratio": float("nan")}), MSGPACK)
    assert (refused.field, "finite" in (refused.hint or "")) == ("ratio", True)


@pytest.mark.parametrize("text", ["a", "YQ", "YQ=", "Y Q==", "YQ==\n", "_-8="])
def test_base64_is_standard_and_padded(text: str) -> None:
    refused = refusal_of(msgspec.json.encode({"id": "a", "items": [{"key": text}]}))
    assert (refused.field, "base64" in (refused.hint or "")) == ("items[0].key", True)


def test_bits_that_base64_has_over_are_not_looked_at() -> None:
    class Named(msgspec.Struct):
        key: bytes

    read = decoder(Named, JSON)
    assert read.decode(b'{"key":"YR=="}') == read.decode(b'{"key":"YQ=="}') == Named(b"a")


def test_of_a_name_given_twice_the_last_counts() -> None:
    assert decoder(Everything, JSON).decode(b'{"id":"a","id":"b"}').id == "b"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty (byte 0)"),
        (b"  \n", "empty (byte 0)"),
        (b'{"id":', "cut short (byte 6)"),
        (b'{"id":"a"} x', "byte 11"),
        (b'{"id" "a"}', "byte 6"),
        (b"{'id':1}", "byte 1"),
        (b"[]", "byte 0"),
        (b'"a"', "byte 0"),
        (b"  5", "byte 2"),
        (b'{"id":"\\ud800"}', "byte 7"),
        (b'{"id":"\xff"}', "UTF-8"),
    ],
)
def test_malformed_json_is_told_where(body: bytes, said: str) -> None:
    assert said in str(refusal_of(body))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty (byte 0)"),
        (b"\x81\xa2id", "cut short (byte 4)"),
        (b"\x81\xa2id\xa1a\x00", "byte"),
        (b"\x90", "body"),
    ],
)
def test_malformed_messagepack_is_told_where(body: bytes, said: str) -> None:
    assert said in str(refusal_of(body, MSGPACK))


@both_formats
def test_lists_in_lists_without_end_are_refused(wire: ContentType) -> None:
    deep: Any = []
    for _ in range(DEPTH_MAX + 50):
        deep = [deep]
    assert f"deeper than {DEPTH_MAX}" in str(refusal_of(body_of({"id": "a", "free": deep}, wire), wire))


@pytest.mark.parametrize(("wire", "opening"), [(JSON, b'{"below":['), (MSGPACK, b"\x81\xa5below\x91")])
def test_a_body_that_opens_a_million_levels_is_refused(wire: ContentType, opening: bytes) -> None:
    refused = refusal_of(opening * 1_000_000, wire, Tree)
    assert "deeper" in str(refused) or "cut short" in str(refused)


def test_levels_within_the_limit_are_read() -> None:
    body = b'{"below":[' * 40 + b'{"below":[]}' + b"]}" * 40
    assert decoder(Tree, JSON).decode(body).below


@pytest.mark.parametrize(
    ("free", "said"), [({1: 2.0}, None), (msgspec.msgpack.Ext(5, b"x"), "extension"), (2**64 - 1, "64 bits")]
)
def test_free_values_hold_what_every_format_can_carry(free: Any, said: str | None) -> None:
    body = msgspec.msgpack.encode({"id": "a", "free": free})
    if said is None:
        assert decoder(Everything, MSGPACK).decode(body).free == free
    else:
        assert said in str(refusal_of(body, MSGPACK))


def test_asking_again_gives_the_same_decoder() -> None:
    assert decoder(Everything, JSON) is decoder(Everything, JSON)


def test_convert_reads_plain_values_as_the_door_does() -> None:
    assert convert({"id": "a", "ttl": "5s", "size": "4KiB"}, Everything).size == 4096
    with pytest.raises(InvalidArgument, match="items\\[0\\]"):
        convert({"id": "a", "items": [{"key": 5}]}, Everything)


def test_convert_reads_text_as_numbers_when_asked() -> None:
    assert convert({"id": "a", "count": "5", "ratio": "0.5"}, Everything, from_text=True).ratio == 0.5
    with pytest.raises(InvalidArgument, match="count"):
        convert({"id": "a", "count": "5"}, Everything)


class Loose(msgspec.Struct, kw_only=True):
    id: str = "a"
    count: int = 1
    value: bytes = b""
    rate: float = 0.0
    parts: list[Any] = []


@both_formats
@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"id": "\ud800"}, "id", "is not Unicode text"),
        ({"value": object()}, "value", "is object, which messages cannot carry"),
        ({"rate": float("nan")}, "rate", "is nan"),
        ({"parts": [{"a": 1}, {"a": object()}]}, "parts[1].a", "is object"),
    ],
)
def test_a_request_that_no_message_holds_is_refused_by_its_field(
    wire: ContentType, fields: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said) as caught:
        request_encoder(wire)(Loose(**fields))
    assert caught.value.field == field


def test_a_request_with_an_integer_that_no_message_holds_is_refused_by_its_field() -> None:
    with pytest.raises(InvalidArgument, match="does not fit 64 bits") as caught:
        request_encoder(MSGPACK)(Loose(count=2**70))
    assert caught.value.field == "count"


def test_a_request_that_nests_without_end_is_refused() -> None:
    parts: list[Any] = []
    parts.append(parts)
    with pytest.raises(InvalidArgument, match="nests too deep"):
        request_encoder(MSGPACK)(Loose(parts=parts))
