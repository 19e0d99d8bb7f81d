"""Messages to bytes and back: JSON and MessagePack, by the rules of the wire.

Decoders and encoders are bound once per type. `decoder(type, content_type)` reads as the door does: unknown
fields, integers beyond int64, NaN, base64 with other digits or without padding, extension types, bytes after the
message and nesting over `DEPTH_MAX` are refused, of duplicate names the last wins. The bits that the last digit of
base64 has over are not looked at: `YR==` is read as `YQ==` is. With `strict=False` it reads as clients and stores do:
unknown fields are skipped, so that a newer writer is understood.

Whatever is encoded leaves out the fields that are None, and nothing else; `request_encoder` alone is freer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import inspect

from soundstage.core.content import Fault, TooDeep, check_content, needs_walk
from soundstage.core.digits import decode_text_scalar
from soundstage.core.errors import InvalidArgument
from soundstage.core.limits import DEPTH_MAX
from soundstage.core.plain import encode_function
from soundstage.core.refusals import invalid, refusal, too_deep, unwritable
from soundstage.core.scalars import decode_scalar
from soundstage.core.strict import strict_twin, text_twin

T = TypeVar("T")

ContentType: TypeAlias = Literal["application/json", "application/msgpack"]

JSON: ContentType = "application/json"
MSGPACK: ContentType = "application/msgpack"

_OTHER_FOR_INTEGER = re.compile(r"Expected `int(?: \| null)?`, got `(?:str|float)`")

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Decoder(Generic[T]):
    """Reads messages of one type in one format; bound once, safe to share between threads."""

    __slots__ = ("_decode", "_node", "_textual", "_walked", "_wire")

    def __init__(self, type: Any, content_type: ContentType, strict: bool) -> None:
        self._wire = "json" if content_type == JSON else "msgpack"
        read = strict_twin(type) if strict else type
        self._decode: Callable[[bytes], T] = _reader(content_type)(read, dec_hook=decode_scalar).decode
        self._node = inspect.type_info(read)
        self._walked = strict and needs_walk(self._node)
        textual = text_twin(type) if strict and content_type == JSON else None
        self._textual: Callable[[bytes], T] | None = (
            msgspec.json.Decoder(textual, dec_hook=decode_text_scalar).decode if textual else None
        )

    def decode(self, body: bytes) -> T:
        """The message that `body` holds.

        Raises `InvalidArgument` with the path of the offending field in `field`, or the position in the
        body where it is malformed, and a hint.
        """
        try:
            message = self._decode(body)
        except _UNREADABLE as error:
            message = self._read_again(body, error)
        if self._walked:
            self._walk(message, body)
        return message

    def _read_again(self, body: bytes, error: Exception) -> T:
        """The message of `body` with integers written in other ways; raises where those were not the trouble."""
        if self._textual is not None and _OTHER_FOR_INTEGER.match(str(error)):
            try:
                return self._textual(body)
            except _UNREADABLE as other:
                error = other
        raise refusal(error, body, self._wire, self._node) from None

    def _walk(self, message: T, body: bytes) -> None:
        try:
            check_content(message, DEPTH_MAX)
        except TooDeep:
            raise too_deep(body, self._wire) from None
        except Fault as fault:
            raise fault.refusal() from None


def _reader(content_type: ContentType) -> Any:
    return msgspec.json.Decoder if content_type == JSON else msgspec.msgpack.Decoder


def decoder(type: type[T], content_type: ContentType, strict: bool = True) -> Decoder[T]:
    """The decoder of messages of `type`; asking again gives the same one."""
    return _decoder(type, content_type, strict)


@lru_cache(maxsize=4096)
def _decoder(type: Any, content_type: ContentType, strict: bool) -> Decoder[Any]:
    return Decoder(type, content_type, strict)


class _Encoders(dict[type[Any], Callable[[Any], bytes]]):
    """The encode function of each type met, so that a look-up is all that a message costs."""

    def __init__(self, content_type: ContentType, exact: bool) -> None:
        super().__init__()
        self._as_json = content_type == JSON
        self._exact = exact

    def __missing__(self, type: type[Any]) -> Callable[[Any], bytes]:
        encode = encode_function(type, self._as_json, self._exact)
        self[type] = encode
        return encode

    def encode(self, message: Any) -> bytes:
        return self[type(message)](message)


_json = _Encoders(JSON, exact=True)
_msgpack = _Encoders(MSGPACK, exact=True)
_request_encoders = {JSON: _Encoders(JSON, exact=False), MSGPACK: _Encoders(MSGPACK, exact=False)}


def json_encode(message: Any) -> bytes:
    """`message` as JSON. Raises `ValueError` for NaN and infinities, `TypeError` for what no message holds."""
    return _json[type(message)](message)


def msgpack_encode(message: Any) -> bytes:
    """`message` as MessagePack; errors as for `json_encode`."""
    return _msgpack[type(message)](message)


def encoder(content_type: ContentType) -> Callable[[Any], bytes]:
    """`json_encode` or `msgpack_encode`."""
    return json_encode if content_type == JSON else msgpack_encode


def request_encoder(content_type: ContentType) -> Callable[[Any], bytes]:
    """The encoder for what a client sends, where a field at its default may be left out or written alike.

    Faster than `encoder` for types that mix both kinds of default; a reader of the same type gets an
    equal message. Raises `InvalidArgument` for what no message holds.
    """
    encode = _request_encoders[content_type].encode

    def encode_request(message: Any) -> bytes:
        try:
            return encode(message)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise unwritable(message, error, encoder(MSGPACK)) from None

    return encode_request


def convert(value: Any, type: type[T], *, from_text: bool = False) -> T:
    """The `type` that plain `value` (maps, lists, text, numbers) spells, read as strictly as at the door.

    For configuration. With `from_text`, numbers, booleans and null may be written as text, as in an
    environment variable. Raises `InvalidArgument` with the field's path and a hint with the nearest name.
    """
    twin = strict_twin(type)
    try:
        return msgspec.convert(value, twin, dec_hook=decode_scalar, strict=not from_text)
    except msgspec.ValidationError as error:
        raise invalid(error, inspect.type_info(twin)) from None
    except RecursionError:
        raise InvalidArgument("the value nests too deep", hint="flatten it") from None
