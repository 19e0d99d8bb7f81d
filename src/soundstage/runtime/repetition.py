"""Answers kept under an `Idempotency-Key`, so that a repeated call gets the first one's answer.

Data on disk: table `system/repetitions`, one partition per caller, operation and key, holding one `Kept`
that expires after 24 hours, or after a minute while its call runs (its process may have died).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any

import msgspec

from soundstage.core.call import Call
from soundstage.core.codec import decoder, msgpack_encode
from soundstage.core.environment import Environment
from soundstage.core.errors import (
    InProgress,
    InvalidArgument,
    PreconditionFailed,
    SoundstageError,
    TokenReused,
    TooLarge,
)
from soundstage.core.limits import IDEMPOTENCY_KEY_MAX_CHARS, check_header
from soundstage.core.operation import Operation
from soundstage.engines.records.port import Stamp
from soundstage.runtime.system_table import SystemTable

KEPT_US = 24 * 3_600_000_000
RUNNING_US = 60_000_000
REPLY_MAX_BYTES = 1 << 20
"""Longer replies are not kept; repetitions then fail instead of running again."""

_KEY = "call"


class Kept(msgspec.Struct, array_like=True, omit_defaults=True):
    """`reply` is None while the call runs, and when it was too long to keep."""

    request: bytes
    done: bool = False
    reply: bytes | None = None
    schema: int = 1


class Repetitions:
    """Runs each keyed call once. `secret` names operations (`system/name`) whose replies must not be stored."""

    def __init__(self, table: SystemTable, environment: Environment, secret: frozenset[str] = frozenset()) -> None:
        self._table = table
        self._environment = environment
        self._secret = secret

    async def once(
        self,
        call: Call,
        operation: Operation[..., Any],
        request: Any,
        run: Callable[[Call, Any], Awaitable[Any]],
    ) -> Any:
        """The reply of `run`, or of the first call under the same key by the same caller.

        Raises `TokenReused` when that had another request, `InProgress` while it runs. A call that fails
        leaves nothing behind: its repetition runs again.
        """
        place = self._place(call, operation)
        digest = blake2b(msgpack_encode(request), digest_size=16).digest()
        earlier = await self._earlier(place, digest, operation)
        if earlier is not None:
            return earlier
        try:
            claim = await self._table.write(
                place, {_KEY: _stored(Kept(digest))}, {_KEY: None}, ttls_us={_KEY: RUNNING_US}
            )
        except PreconditionFailed:
            earlier = await self._earlier(place, digest, operation)
            if earlier is None:
                raise _running() from None
            return earlier
        return await self._run(place, claim, digest, self._bounded(call), request, run)

    async def _run(
        self,
        place: str,
        claim: Stamp,
        digest: bytes,
        call: Call,
        request: Any,
        run: Callable[[Call, Any], Awaitable[Any]],
    ) -> Any:
        try:
            reply = await run(call, request)
        except SoundstageError:
            await self._table.write(place, {_KEY: None}, {_KEY: claim})
            raise
        encoded = msgpack_encode(reply)
        kept = Kept(digest, True, encoded if len(encoded) <= REPLY_MAX_BYTES else None)
        await self._table.write(place, {_KEY: _stored(kept)}, {_KEY: claim}, ttls_us={_KEY: KEPT_US})
        return reply

    async def _earlier(self, place: str, digest: bytes, operation: Operation[..., Any]) -> Any:
        """The reply kept, or None when there is no earlier call."""
        entry = await self._table.get(place, _KEY)
        if entry is None:
            return None
        kept = msgspec.msgpack.decode(entry.value, type=Kept)
        if kept.request != digest:
            raise TokenReused(
                "another request was sent under this Idempotency-Key",
                field="Idempotency-Key",
                hint="make a key for each request, and send the same request when repeating",
            )
        if not kept.done:
            raise _running()
        if kept.reply is None:
            raise TooLarge("the call was done, but its reply was too long to be kept", hint="read back what it changed")
        return decoder(operation.answer, "application/msgpack", strict=False).decode(kept.reply)

    def _place(self, call: Call, operation: Operation[..., Any]) -> str:
        name = f"{operation.system}/{operation.name}"
        if name in self._secret:
            raise InvalidArgument(
                f"{name} takes no Idempotency-Key: its reply holds a secret, which is not kept",
                field="Idempotency-Key",
                hint="leave it out",
            )
        key = check_header(call.idempotency_key or "", "Idempotency-Key", IDEMPOTENCY_KEY_MAX_CHARS)
        named = "\0".join((call.principal.name, name, key))
        return blake2b(named.encode(), digest_size=16).hexdigest()

    def _bounded(self, call: Call) -> Call:
        """`call` ending before its claim does, so that no other may run beside it."""
        latest_ns = self._environment.monotonic_ns() + RUNNING_US * 800
        deadline_ns = latest_ns if call.deadline_ns is None else min(call.deadline_ns, latest_ns)
        return msgspec.structs.replace(call, deadline_ns=deadline_ns)


def _stored(kept: Kept) -> bytes:
    return msgspec.msgpack.encode(kept)


def _running() -> InProgress:
    return InProgress(
        "a call with this Idempotency-Key is under way",
        field="Idempotency-Key",
        hint="repeat it after the time given",
        retry_after_ms=1_000,
    )
