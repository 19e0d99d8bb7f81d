"""Access tokens as the stage keeps them, and how one is known again.

    token = "sst_" id "_" secret        id: 20 hexadecimal digits that sort by creation; secret: 32 bytes

Data on disk: table `system/tokens`, partition `tokens`; `t/<id>` holds a `Stored`, `n/<name>` the id of the token
of that name, so that a name has one whoever makes tokens at the same time. The secret is random and long, so that a
salted fast hash is as hard to invert as a slow one would be, and authentication stays cheap.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from soundstage.core.call import Principal
from soundstage.core.codec import decoder, msgpack_encode
from soundstage.core.credential import TokenInfo
from soundstage.core.environment import Environment
from soundstage.core.errors import (
    AlreadyExists,
    Exhausted,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    Unauthenticated,
)
from soundstage.core.time import Instant
from soundstage.engines.records.port import Stamp
from soundstage.runtime.salvage import raw_map, salvaged
from soundstage.runtime.system_table import Entry, SystemTable

log: logging.Logger = logging.getLogger("soundstage.tokens")

PREFIX = "sst"

_PARTITION = "tokens"
_SECRET_BYTES = 32
_SALT_BYTES = 16


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """One token. `hash` is of its secret with `salt`."""

    info: TokenInfo
    salt: bytes
    hash: bytes
    schema: int = 1


class _Known(NamedTuple):
    stored: Stored
    stamp: Stamp
    principal: Principal


class TokenStore:
    """Creates, revokes and recognises tokens. `follow` at start and again to see what other processes did."""

    def __init__(self, table: SystemTable, environment: Environment, limit: int) -> None:
        self._table = table
        self._environment = environment
        self._limit = limit
        self._known: dict[str, _Known] = {}
        self._seen: Stamp | None = None
        # What is read while a token is being revoked would bring it back.
        self._changing = asyncio.Lock()
        self._nobody = Stored(
            info=TokenInfo(id="", name="", grants={}, created_at=Instant(0), created_by=""),
            salt=environment.secret(_SALT_BYTES),
            hash=environment.secret(32),
        )

    async def follow(self) -> None:
        """Every stored token is known here, and no other; one small read when nothing changed."""
        async with self._changing:
            await self._follow()

    async def _follow(self) -> None:
        stamp = await self._table.stamp(_PARTITION)
        if stamp == self._seen:
            return
        entries = await self._table.read(_PARTITION, "t/")
        self._known = {key[2:]: _known(key[2:], entry) for key, entry in entries.items()}
        self._seen = stamp

    def infos(self) -> list[TokenInfo]:
        """The tokens in the order of their creation, without their secrets."""
        return [self._known[id].stored.info for id in sorted(self._known)]

    async def create(self, info: TokenInfo) -> str:
        """`info` is stored under a new secret; the token is returned and kept nowhere.

        Raises `AlreadyExists` for a name in use, so that logs and history are clear about who did what.
        """
        async with self._changing:
            return await self._create(info)

    async def _create(self, info: TokenInfo) -> str:
        # A change of this process whose answer was lost is not known here yet.
        await self._follow()
        if any(known.stored.info.name == info.name for known in self._known.values()):
            raise _name_in_use(info.name)
        if len(self._known) >= self._limit:
            raise Exhausted(
                f"the stage has {self._limit} tokens, its limit",
                hint="revoke some, or raise control.tokens_limit",
                retryable=False,
            )
        secret, salt = self._environment.secret(_SECRET_BYTES), self._environment.secret(_SALT_BYTES)
        stored = Stored(info=info, salt=salt, hash=_hash(secret, salt))
        token, name = f"t/{info.id}", f"n/{info.name}"
        changes = {token: msgpack_encode(stored), name: info.id.encode()}
        try:
            stamp = await self._table.write(_PARTITION, changes, {token: None, name: None})
        except PreconditionFailed:
            raise _name_in_use(info.name) from None
        self._known[info.id] = _Known(stored, stamp, _principal(info))
        text = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        return f"{PREFIX}_{info.id}_{text}"

    async def revoke(self, name: str) -> TokenInfo:
        """The token of that id or name works no more; `NotFound` otherwise. Returns what it was."""
        async with self._changing:
            return await self._revoke(name)

    async def _revoke(self, name: str) -> TokenInfo:
        await self._follow()
        for id, known in self._known.items():
            if name in (id, known.stored.info.name):
                freed = {f"t/{id}": None, f"n/{known.stored.info.name}": None}
                try:
                    await self._table.write(_PARTITION, freed, {f"t/{id}": known.stamp})
                except PreconditionFailed:
                    raise NotFound(f"the token {name!r} has been revoked already", field="id") from None
                self._known.pop(id, None)
                return known.stored.info
        raise NotFound(f"there is no token {name!r}", field="id", hint="see tokens/list")

    def recognise(self, token: str) -> Principal:
        """Who calls with `token`. Takes as long for an unknown id as for a wrong secret."""
        id, secret = _parts(token)
        known = self._known.get(id)
        stored = self._nobody if known is None else known.stored
        matches = hmac.compare_digest(_hash(secret, stored.salt), stored.hash)
        if known is None or not matches or self._expired(stored.info):
            raise _no_token()
        return known.principal

    def granted(self, id: str) -> Principal | None:
        """Whoever has the token of that id, an expired one too, or None when it was revoked."""
        known = self._known.get(id)
        return None if known is None else known.principal

    def check(self, principal: Principal) -> None:
        """Raises `Unauthenticated` when the token that `principal` was recognised by is none any more."""
        known = self._known.get(principal.id)
        if known is None or self._expired(known.stored.info):
            raise _no_token()

    def _expired(self, info: TokenInfo) -> bool:
        return info.expires_at is not None and self._environment.now_ns() >= info.expires_at


def _no_token() -> Unauthenticated:
    return Unauthenticated(
        "the access token is not one of this stage, has expired or was revoked",
        hint="make one with `soundstage tokens create`",
    )


def _name_in_use(name: str) -> AlreadyExists:
    return AlreadyExists(f"there is a token named {name!r}", field="name", hint="revoke it, or choose another name")


def _parts(token: str) -> tuple[str, bytes]:
    prefix, _, rest = token.partition("_")
    id, _, text = rest.partition("_")
    try:
        secret = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        secret = b""
    return (id if prefix == PREFIX else ""), secret


def _hash(secret: bytes, salt: bytes) -> bytes:
    return blake2b(secret, key=salt, digest_size=32, person=b"soundstage-token").digest()


def _principal(info: TokenInfo) -> Principal:
    return Principal(info.name, {pattern: tuple(roles) for pattern, roles in info.grants.items()}, info.id)


def _known(id: str, entry: Entry) -> _Known:
    try:
        stored = _STORED.decode(entry.value)
    except InvalidArgument as error:
        log.error("a stored token cannot be read and is refused: revoke it", extra={"id": id, "reason": error.detail})
        stored = _refused(id, entry.value)
    return _Known(stored, entry.stamp, _principal(stored.info))


def _refused(id: str, value: bytes) -> Stored:
    """What can be read of a token, which allows nothing; it is listed as expired, and can be revoked."""
    raw = raw_map(value)
    unknown = TokenInfo(id=id, name=id, grants={}, created_at=Instant(0), created_by="")
    info = salvaged(TokenInfo, raw.get("info"), msgspec.structs.asdict(unknown))
    info = msgspec.structs.replace(info, id=id, grants={}, expires_at=Instant(0))
    return Stored(info=info, salt=b"", hash=b"")


_STORED = decoder(Stored, "application/msgpack", strict=False)
