"""Answers kept under an `Idempotency-Key`, so that a repeated call gets the first one's answer.

Data on disk: table `system/repetitions`, one partition per caller, operation and key, holding one `Kept`
that expires after 24 hours. A call that has not ended after a minute is one whose process has died: what became of
it is as unknown as of one that said so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from soundstage.core.call import Call
from soundstage.core.codec import decoder, msgpack_encode
from soundstage.core.environment import Environment
from soundstage.core.errors import (
    InProgress,
    Internal,
    InvalidArgument,
    PreconditionFailed,
    SoundstageError,
    TokenDrift,
    TokenReused,
    TooLarge,
    Unavailable,
)
from soundstage.core.hlc import TokenClock
from soundstage.core.ids import uuid7
from soundstage.core.limits import IDEMPOTENCY_KEY_MAX_CHARS, check_header
from soundstage.core.message import IdempotencyToken
from soundstage.core.operation import Operation
from soundstage.engines.records.port import Stamp
from soundstage.runtime.system_table import SystemTable

KEPT_US = 24 * 3_600_000_000
RUNNING_US = 60_000_000
REPLY_MAX_BYTES = 1 << 20
"""Longer replies are not kept; repetitions then fail instead of running again."""

_KEY = "call"
_HEADER = "Idempotency-Key"
_READ_BACK = f"read back what it changes; what is missing then goes under another {_HEADER}"


class Kept(msgspec.Struct, array_like=True, omit_defaults=True):
    """`reply` is None while the call runs, and when it was too long to keep.

    Nobody else runs it before `until_us`. `token` is the one that was made for it, `job` the id for the job that it
    starts; `doubtful` is one that an earlier run may have done already.
    """

    request: bytes
    done: bool = False
    reply: bytes | None = None
    schema: int = 1
    until_us: int = 0
    token: IdempotencyToken | None = None
    doubtful: bool = False
    job: str = ""


class Claim(NamedTuple):
    """What is kept, and the write it is from."""

    kept: Kept
    stamp: Stamp


class Repetitions:
    """Runs each keyed call once. `secret` names operations (`system/name`) whose replies must not be stored."""

    def __init__(
        self, table: SystemTable, clock: TokenClock, environment: Environment, secret: frozenset[str] = frozenset()
    ) -> None:
        self._table = table
        self._clock = clock
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

        Raises `TokenReused` when that had another request, `InProgress` while it runs. A call that was refused
        leaves nothing behind: its repetition runs again. One whose outcome is unknown is run again only as the same
        write, under the idempotency token of the first, or as the start of the same job; else `Unavailable` says that
        nobody knows.
        """
        place = self._place(call, operation)
        digest = blake2b(msgpack_encode(request), digest_size=16).digest()
        # Of uploads, which take long, two that run beside each other under one token are one write.
        endless = operation.kind == "upload" and operation.tokened and operation.idempotent
        bounded = call if endless else self._bounded(call)
        found = await self._found(place, digest)
        if found is not None and found.kept.done:
            return _answer(found.kept, operation)
        kept, request = self._begin(None if found is None else found.kept, digest, operation, request)
        try:
            stamp = await self._keep(place, kept, None if found is None else found.stamp)
        except PreconditionFailed:
            found = await self._found(place, digest)
            if found is None or not found.kept.done:
                raise _running() from None
            return _answer(found.kept, operation)
        bounded = msgspec.structs.replace(bounded, job_id=kept.job)
        return await self._run(place, Claim(kept, stamp), bounded, operation, request, run)

    def _begin(
        self, earlier: Kept | None, digest: bytes, operation: Operation[..., Any], request: Any
    ) -> tuple[Kept, Any]:
        """What is kept while the call runs, and its request, with the token of `earlier`, whose end is unknown."""
        if earlier is not None and self._environment.now_us() < earlier.until_us:
            raise _running()
        token: IdempotencyToken | None = None
        if operation.tokened and request.idempotency_token is None:
            token = self._clock.token() if earlier is None else earlier.token
            if token is not None:
                request = msgspec.structs.replace(request, idempotency_token=token)
        job = "" if earlier is None else earlier.job
        if operation.kind == "job" and earlier is None:
            job = uuid7(self._environment)
        if earlier is not None and not (job or _has_token(operation, request)):
            raise _in_doubt()
        until_us = self._environment.now_us() + RUNNING_US
        return Kept(digest, until_us=until_us, token=token, doubtful=earlier is not None, job=job), request

    async def _run(
        self,
        place: str,
        claim: Claim,
        call: Call,
        operation: Operation[..., Any],
        request: Any,
        run: Callable[[Call, Any], Awaitable[Any]],
    ) -> Any:
        try:
            reply = await run(call, request)
        except SoundstageError as error:
            if claim.kept.doubtful and isinstance(error, TokenDrift):
                # The first call's token is too old by now; of what became of that call it says nothing.
                raise _in_doubt() from error
            await self._failed(place, claim, error, repeatable=bool(claim.kept.job) or _has_token(operation, request))
            raise
        encoded = msgpack_encode(reply)
        kept = Kept(claim.kept.request, True, encoded if len(encoded) <= REPLY_MAX_BYTES else None)
        try:
            await self._keep(place, kept, claim.stamp)
        except SoundstageError as error:
            error.outcome = "unknown"
            raise
        return reply

    async def _failed(self, place: str, claim: Claim, error: SoundstageError, *, repeatable: bool) -> None:
        """The claim is given up, or kept for a repetition as a call that nobody knows the end of."""
        unknown = error.outcome == "unknown" or isinstance(error, Internal)
        if unknown:
            error.retryable = repeatable and not isinstance(error, Internal)
            error.hint = f"repeat it under the same {_HEADER}" if error.retryable else _READ_BACK
        # When this fails, the claim runs out by itself and is in doubt from then on.
        with suppress(SoundstageError):
            if unknown or claim.kept.doubtful:
                await self._keep(place, msgspec.structs.replace(claim.kept, until_us=0, doubtful=True), claim.stamp)
            else:
                await self._table.write(place, {_KEY: None}, {_KEY: claim.stamp})

    async def _keep(self, place: str, kept: Kept, replaces: Stamp | None) -> Stamp:
        changes, ttls_us = {_KEY: msgpack_encode(kept)}, {_KEY: KEPT_US}
        return await self._table.write(place, changes, {_KEY: replaces}, ttls_us=ttls_us)

    async def _found(self, place: str, digest: bytes) -> Claim | None:
        """What is kept of an earlier call."""
        entry = await self._table.get(place, _KEY)
        if entry is None:
            return None
        kept = _KEPT.decode(entry.value)
        if kept.request != digest:
            raise TokenReused(
                f"another request was sent under this {_HEADER}",
                field=_HEADER,
                hint="make a key for each request, and send the same request when repeating",
            )
        return Claim(kept, entry.stamp)

    def _place(self, call: Call, operation: Operation[..., Any]) -> str:
        name = f"{operation.system}/{operation.name}"
        if name in self._secret:
            raise InvalidArgument(
                f"{name} takes no {_HEADER}: its reply holds a secret, which is not kept",
                field=_HEADER,
                hint="leave it out",
            )
        key = check_header(call.idempotency_key or "", _HEADER, IDEMPOTENCY_KEY_MAX_CHARS)
        named = "\0".join((call.principal.name, name, key))
        return blake2b(named.encode(), digest_size=16).hexdigest()

    def _bounded(self, call: Call) -> Call:
        """`call` ending before its claim does, so that no other may run beside it."""
        latest_ns = self._environment.monotonic_ns() + RUNNING_US * 800
        deadline_ns = latest_ns if call.deadline_ns is None else min(call.deadline_ns, latest_ns)
        return msgspec.structs.replace(call, deadline_ns=deadline_ns)


_KEPT = decoder(Kept, "application/msgpack", strict=False)


def _answer(kept: Kept, operation: Operation[..., Any]) -> Any:
    if kept.reply is None:
        raise TooLarge("the call was done, but its reply was too long to be kept", hint="read back what it changed")
    return decoder(operation.answer, "application/msgpack", strict=False).decode(kept.reply)


def _has_token(operation: Operation[..., Any], request: Any) -> bool:
    """Whether running `request` twice is one write."""
    return operation.tokened and operation.idempotent and request.idempotency_token is not None


def _in_doubt() -> Unavailable:
    return Unavailable(
        f"an earlier call with this {_HEADER} came to no known end; it may or may not have been applied",
        field=_HEADER,
        hint=_READ_BACK,
        retryable=False,
        outcome="unknown",
    )


def _running() -> InProgress:
    return InProgress(
        f"a call with this {_HEADER} is under way",
        field=_HEADER,
        hint="repeat it after the time given",
        retry_after_ms=1_000,
    )
