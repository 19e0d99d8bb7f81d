"""Signed page tokens: where a paged call goes on, held by the caller and trusted by nobody.

    token   = base64url( body | blake2b(body, key)[:16] )
    body    = format (1) | key number (4) | made_ms (6) | scope (8) | state (MessagePack)
    scope   = blake2b(kind | binding)[:8]

A token names the call that made it (`kind`) and its request (`binding`), lives 24 hours, and is refused by
everything else. Any process that holds the ring of keys can open it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.core.scalars import decode_scalar, encode_msgpack_scalar

State = TypeVar("State")

LIFETIME_MS = 24 * 3_600_000
KEYS_MAX = 4
TOKEN_MAX_CHARS = 16_384
"""Room for a state that holds the longest id and the longest key."""

_FORMAT = 1
_KEY_BYTES = 32
_NUMBER = slice(1, 5)
_MADE = slice(5, 11)
_SCOPE = slice(11, 19)
_STATE_AT = 19
_MAC_BYTES = 16
_AGAIN = "start again without page_token"


class SigningKey(msgspec.Struct, frozen=True):
    """One key and the number by which tokens refer to it."""

    number: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.number.hex()})"


class KeyRing(msgspec.Struct, frozen=True):
    """The keys of page tokens, the one in use first; shared by all processes of a stage.

    Rotating keeps the previous `KEYS_MAX - 1`; rotate at most as often as lets a token live out its
    24 hours, so not more than three times a day.
    """

    keys: tuple[SigningKey, ...]

    @classmethod
    def generate(cls, environment: Environment) -> KeyRing:
        """A ring of one key that nobody can guess."""
        return cls((_new_key(environment),))

    def rotate(self, environment: Environment) -> KeyRing:
        """A ring that signs with a new key and still opens what the previous ones signed."""
        return KeyRing((_new_key(environment), *self.keys)[:KEYS_MAX])

    def to_bytes(self) -> bytes:
        """The ring as bytes to store; they are a secret."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, stored: bytes) -> KeyRing:
        """The ring that `to_bytes` gave. Raises `ValueError` for anything else."""
        ring = msgspec.msgpack.decode(stored, type=cls)
        if not ring.keys:
            raise ValueError("a key ring holds at least one key")
        return ring


class _Place(msgspec.Struct, array_like=True):
    """Where a list goes on that is in the order of names, ids or other text."""

    text: str


class PageTokens:
    """Seals and opens page tokens; `keys` may be replaced at any time by a rotated ring."""

    def __init__(self, keys: KeyRing, environment: Environment) -> None:
        self.keys = keys
        self._environment = environment

    def seal(self, kind: str, binding: bytes, state: Any) -> str:
        """The token from which `open` gives `state` back, for 24 hours.

        `kind` names the operation and the layout of `state`; `binding` is `binding_of(request)`.
        """
        key = self.keys.keys[0]
        body = b"".join(
            (
                _FORMAT.to_bytes(1, "big"),
                key.number,
                self._now_ms().to_bytes(6, "big"),
                _scope(kind, binding),
                msgspec.msgpack.encode(state, enc_hook=encode_msgpack_scalar),
            )
        )
        return base64.urlsafe_b64encode(body + _mac(body, key.key)).rstrip(b"=").decode()

    def open(self, token: str, kind: str, binding: bytes, type: type[State]) -> State:
        """The state that `seal` put in. Raises `InvalidArgument` for `page_token` whatever is wrong."""
        body = self._authentic(token)
        made_ms = int.from_bytes(body[_MADE], "big")
        if self._now_ms() - made_ms > LIFETIME_MS:
            raise _refusal("the page token is older than 24 hours", _AGAIN)
        if body[_SCOPE] != _scope(kind, binding):
            raise _refusal(
                "the page token belongs to another request",
                "send it with the request that made it, with nothing changed but page_token",
            )
        try:
            return msgspec.msgpack.decode(body[_STATE_AT:], type=type, dec_hook=decode_scalar)
        except (msgspec.DecodeError, ValueError):
            raise _refusal("the page token was made by another release", _AGAIN) from None

    def seal_place(self, kind: str, request: msgspec.Struct, place: str) -> str:
        """The token from which `open_place` gives `place` back, in the next request of the list that `request` asks."""
        return self.seal(kind, binding_of(request), _Place(place))

    def open_place(self, kind: str, request: Any) -> str | None:
        """The place that the page token of `request` was sealed with; None without one. Raises as `open` does."""
        if request.page_token is None:
            return None
        return self.open(request.page_token, kind, binding_of(request), _Place).text

    def _authentic(self, token: str) -> bytes:
        raw = _decoded(token)
        if raw[0] > _FORMAT:
            raise _refusal("the page token was made by a newer release", _AGAIN)
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        for key in self.keys.keys:
            if key.number == body[_NUMBER] and hmac.compare_digest(_mac(body, key.key), mac):
                return body
        raise _refusal("the page token is not one of this stage, or is damaged", _AGAIN)

    def _now_ms(self) -> int:
        return self._environment.now_ns() // 1_000_000


def binding_of(request: msgspec.Struct) -> bytes:
    """A digest of `request` without its page token, to bind the tokens of its pages to it."""
    fields = [(name, getattr(request, name)) for name in request.__struct_fields__ if name != "page_token"]
    given = [field for field in fields if field[1] is not None]
    encoded = msgspec.msgpack.encode(given, enc_hook=encode_msgpack_scalar)
    return blake2b(encoded, digest_size=16).digest()


def _decoded(token: str) -> bytes:
    raw = b""
    if len(token) <= TOKEN_MAX_CHARS:
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
    if len(raw) < _STATE_AT + _MAC_BYTES:
        raise _refusal("the page token is no token", "send next_page_token of the last reply as it came")
    return raw


def _new_key(environment: Environment) -> SigningKey:
    secret = environment.secret(_KEY_BYTES)
    return SigningKey(blake2b(secret, digest_size=4, person=b"page-key").digest(), secret)


def _scope(kind: str, binding: bytes) -> bytes:
    return blake2b(kind.encode() + b"\0" + binding, digest_size=8).digest()


def _mac(body: bytes, key: bytes) -> bytes:
    return blake2b(body, key=key, digest_size=_MAC_BYTES).digest()


def _refusal(detail: str, hint: str) -> InvalidArgument:
    return InvalidArgument(detail, field="page_token", hint=hint)
