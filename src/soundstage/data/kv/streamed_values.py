"""Single values as streams, of any size: what they bring is stored as it comes, and read as it is wanted.

A value that turns out not to be large is a put like others. A large one first has its chunks stored, under an upload
that nobody sees, and then its row, so that readers see the old value or the new one whole. A stream that breaks off
gives its chunks up; one whose process dies leaves them to the register of `uploads`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple, TypeAlias

from xxhash import xxh3_128

from soundstage.core import version
from soundstage.core.call import Call
from soundstage.core.environment import Environment
from soundstage.core.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    TokenReused,
    TooLarge,
    Unavailable,
)
from soundstage.core.limits import check_id, check_ttl
from soundstage.core.message import IdempotencyToken
from soundstage.core.streaming import Body, Content
from soundstage.core.time import Instant
from soundstage.data.kv.api import Condition, GetValue, PutItem, PutValue, PutValueReply, ValueInfo
from soundstage.data.kv.chunks import ChunkWriter, MissingChunk, other_value, read_chunks
from soundstage.data.kv.foreseen import check_foreseen
from soundstage.data.kv.items import item_of, manifest_of, metadata_of
from soundstage.data.kv.large_values import lost, register_values_replaced
from soundstage.data.kv.manifest import UPLOAD_BYTES, Manifest
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.data.kv.predicates import check_bytes
from soundstage.data.kv.tokens import check_min_version, check_reached, effective
from soundstage.data.kv.uploads import STAGING_US, Upload, give_up, register
from soundstage.data.kv.writes import put_batch
from soundstage.engines.records.port import Batch, Cell, Conditional

_REFUSALS = (InvalidArgument, PreconditionFailed, TokenReused)
"""What a write fails with whose row was not written, and will not be."""

_ANY = IdempotencyToken(Instant(0), "any")

PART_BYTES = 1 << 20
"""Larger parts of a stream are taken in such slices."""

Serve: TypeAlias = Callable[[str], ServedNamespace]
MakeToken: TypeAlias = Callable[[ServedNamespace, PutValue], tuple[IdempotencyToken, int]]
Conditioned: TypeAlias = Callable[
    [ServedNamespace, "Condition | list[Condition]", Batch, IdempotencyToken], Conditional
]
Apply: TypeAlias = Callable[[ServedNamespace, Call, bytes, Batch, PutValue, "Conditional | None"], Awaitable[int]]
Saw: TypeAlias = Callable[[ServedNamespace, int], None]


class Writing(NamedTuple):
    """How the service writes: what it knows of a namespace, how tokens and conditions are made, how a batch goes in."""

    serve: Serve
    token: MakeToken
    conditional: Conditioned
    apply: Apply
    saw: Saw


class Come(NamedTuple):
    """What a stream brought: its size, its digest, and the value itself where it is small, or else its manifest."""

    size: int
    digest: bytes
    value: bytes
    manifest: Manifest | None


class StreamedValues:
    """`put_value` and `get_value` of the store."""

    def __init__(self, environment: Environment, writing: Writing) -> None:
        self._environment = environment
        self._on = writing

    async def put(self, call: Call, request: PutValue, body: Body) -> PutValueReply:
        """The value is stored, whole and durably; or nothing of it is seen.

        Raises `InvalidArgument`, `TooLarge`, `TokenDrift`, `PreconditionFailed`, `TokenReused` for another value under
        the token of one that is there, and `DeadlineExceeded` for a stream that takes too long. What would fail is
        refused before anything of it is read, as far as that can be told.
        """
        served = self._on.serve(request.namespace)
        partition = _checked(request.id, request.key)
        check_size(served, body.size or 0)
        if request.ttl is not None:
            check_ttl(request.ttl)
        token, time_us = request.idempotency_token, 0
        if token is not None:
            time_us = served.window.admit(token, self._environment.now_us())
            self._on.saw(served, time_us)
        if request.condition is not None:
            asked = self._on.conditional(served, request.condition, Batch(), token or _ANY)
            await check_foreseen(served, partition, asked, token, self._environment.now_us())
        elif token is not None:
            # Of conditional writes the store has a ledger, which knows better.
            earlier = await self._earlier(served, partition, request, token, time_us)
            if earlier is not None:
                return await self._repeated(served, token, request, earlier, body)
        async with aclosing(_sliced(served, self._environment, body)) as parts:
            head, more = await _head(parts, int(served.config.chunk_threshold))
            if more is None:
                return await self._put_small(call, served, partition, request, head)
            return await self._put_large(call, served, partition, request, _from_head(head, more, parts))

    async def get(self, request: GetValue) -> Content[ValueInfo]:
        """The value, to be read as a whole or in part. Raises `NotFound` where there is none."""
        served = self._on.serve(request.namespace)
        partition = _checked(request.id, request.key)
        check_min_version(request.min_version)
        now_us = self._environment.now_us()
        page = await served.records.get(served.table, partition, (request.key,), now_us)
        check_reached(request.min_version, page.stamp)
        self._on.saw(served, 0 if page.stamp is None else page.stamp.time_us)
        if not page.rows:
            raise NotFound(
                "the record has no item of this key", field="key", hint="it may have expired or been deleted"
            )
        key, cell = page.rows[0]
        item, manifest = item_of(key, cell), manifest_of(cell)
        value = item.value or b""
        info = ValueInfo(
            token=item.metadata.token,
            expires_at=item.metadata.expires_at,
            size=item.metadata.size,
            checksum=(xxh3_128(value).digest() if manifest is None else manifest.digest).hex(),
            codec=item.metadata.codec,
        )
        if manifest is None:
            return Content(info, info.size, lambda start, end: _sliced_value(value, start, end))
        return Content(info, info.size, lambda start, end: self._read(served, partition, key, manifest, start, end))

    async def _read(
        self, served: ServedNamespace, partition: bytes, key: bytes, manifest: Manifest, start: int, end: int
    ) -> AsyncGenerator[bytes]:
        """The bytes of a large value; the last of a whole one come when all are known to be those that were put."""
        digest = xxh3_128() if (start, end) == (0, manifest.size) else None
        held = b""
        try:
            async with aclosing(read_chunks(served, manifest, start, end)) as chunks:
                async for data in chunks:
                    served.amplification.read += len(data)
                    served.amplification.returned += len(data)
                    if digest is not None:
                        digest.update(data)
                    if held:
                        yield held
                    held = data
        except MissingChunk:
            raise await lost(served, partition, key, manifest, self._environment.now_us()) from None
        if digest is not None and digest.digest() != manifest.digest:
            raise other_value(served, manifest)
        if held:
            yield held

    async def _earlier(
        self,
        served: ServedNamespace,
        partition: bytes,
        request: PutValue,
        token: IdempotencyToken,
        time_us: int,
    ) -> Cell | None:
        """What is stored under the token already."""
        page = await served.records.get(served.table, partition, (request.key,), self._environment.now_us())
        for _, cell in page.rows:
            if version.time_us(cell) == time_us and version.token(cell) == token.token:
                return cell
        return None

    async def _repeated(
        self, served: ServedNamespace, token: IdempotencyToken, request: PutValue, cell: Cell, body: Body
    ) -> PutValueReply:
        """The answer to a repetition, of which nothing is stored; `TokenReused` when it brings something else."""
        digest, size = xxh3_128(), 0
        async with aclosing(_sliced(served, self._environment, body)) as parts:
            async for part in parts:
                digest.update(part)
                size += len(part)
        found, manifest = version.split(cell), manifest_of(cell)
        kept = xxh3_128(found.value).digest() if manifest is None else manifest.digest
        expires_us = 0 if request.ttl is None else found.time_us + check_ttl(request.ttl)
        if (digest.digest(), expires_us) != (kept, found.expires_us):
            raise _reused()
        return PutValueReply(
            idempotency_token=effective(token, found.time_us),
            size=size,
            checksum=kept.hex(),
            remember_for=served.remember_for,
        )

    async def _put_small(
        self, call: Call, served: ServedNamespace, partition: bytes, request: PutValue, value: bytes
    ) -> PutValueReply:
        come = Come(len(value), xxh3_128(value).digest(), value, None)
        await register_values_replaced(served, self._environment, partition, [request.key], call.deadline_ns)
        return await self._commit(call, served, partition, request, come)

    async def _put_large(
        self,
        call: Call,
        served: ServedNamespace,
        partition: bytes,
        request: PutValue,
        parts: AsyncIterator[bytes],
    ) -> PutValueReply:
        staging = Staging(served, self._environment, partition, request.key, call.deadline_ns)
        try:
            manifest = await staging.store(parts)
            await register_values_replaced(served, self._environment, partition, [request.key], call.deadline_ns)
            come = Come(manifest.size, manifest.digest, b"", manifest)
            staging.check_in_time()
        except BaseException as error:
            # Whatever became of the chunks, nobody sees them.
            if isinstance(error, (Unavailable, DeadlineExceeded)):
                error.outcome = "not_applied"
            await staging.give_up()
            raise
        try:
            return await self._commit(call, served, partition, request, come)
        except SoundstageError as error:
            if error.outcome == "not_applied" or isinstance(error, _REFUSALS):
                await staging.give_up()
            raise

    async def _commit(
        self, call: Call, begun: ServedNamespace, partition: bytes, request: PutValue, come: Come
    ) -> PutValueReply:
        """The row is written, which is what makes the value seen."""
        served, now_us = self._on.serve(request.namespace), self._environment.now_us()
        if served.view.generation != begun.view.generation:
            raise Unavailable(
                f"the namespace {served.name!r} was made anew while the value came",
                hint="send it again",
                outcome="not_applied",
            )
        token = request.idempotency_token
        if token is None:
            token, time_us = self._on.token(served, request)
        else:
            time_us = token.generation_time // 1_000
            served.window.check_still(time_us, now_us, STAGING_US)
        batch, alike = _batches(served, partition, request, time_us, token.token, come)
        # What is known of a repetition is what was put, and not by which upload.
        asked = None if request.condition is None else self._on.conditional(served, request.condition, alike, token)
        stamp_us = await self._on.apply(served, call, partition, batch, request, asked)
        return PutValueReply(
            idempotency_token=effective(token, stamp_us),
            size=come.size,
            checksum=come.digest.hex(),
            remember_for=served.remember_for,
        )


class Staging:
    """The chunks of one stream, before its row is written."""

    def __init__(
        self,
        served: ServedNamespace,
        environment: Environment,
        partition: bytes,
        key: bytes,
        deadline_ns: int | None,
    ) -> None:
        self._served = served
        self._environment = environment
        self._deadline_ns = deadline_ns
        self._upload: bytes = environment.random.randbytes(UPLOAD_BYTES)
        self._begun_us: int = environment.now_us()
        self._entry = Upload(partition=partition, key=key, time_us=self._begun_us)
        self._due_us: int | None = None

    async def store(self, parts: AsyncIterator[bytes]) -> Manifest:
        """All of `parts` are in chunks that are entered in the register."""
        served, within_us = self._served, self._served.config.stream_timeout.us + STAGING_US
        self._due_us = await register(
            served, self._environment, self._upload, self._entry, self._deadline_ns, within_us
        )
        writer = ChunkWriter(served, self._upload, self._begun_us, self._upload.hex(), self._deadline_ns)
        try:
            async for part in parts:
                await writer.write(part)
            return await writer.finish()
        finally:
            await writer.close()

    def check_in_time(self) -> None:
        """Raise `DeadlineExceeded` when the row may come no more."""
        check_duration(self._served, self._environment.now_us() - self._begun_us)

    async def give_up(self) -> None:
        """There will be no row: the sweeper's next round drops the chunks, or a later one where that cannot be told."""
        if self._due_us is None:
            return
        try:
            await give_up(self._served, self._environment, self._upload, self._due_us, self._entry)
        except SoundstageError:
            return


def check_size(served: ServedNamespace, size: int) -> None:
    """Raise `TooLarge` for a value of more bytes than the namespace takes."""
    if size > served.config.value_max:
        raise TooLarge(
            f"the value has over {int(served.config.value_max)} bytes",
            field="body",
            hint="the namespace's knob is value_max",
        )


def check_duration(served: ServedNamespace, took_us: int) -> None:
    """Raise `DeadlineExceeded` for a stream that took longer than the namespace lets it, or back in time."""
    if not 0 <= took_us <= served.config.stream_timeout.us:
        raise DeadlineExceeded(
            f"the value did not come within {served.config.stream_timeout}",
            hint="send it faster; the namespace's knob is stream_timeout",
            outcome="not_applied",
            retryable=False,
        )


def _checked(id: str, key: bytes) -> bytes:
    check_bytes(key, "key")
    return check_id(id)


async def _sliced(served: ServedNamespace, environment: Environment, body: Body) -> AsyncGenerator[bytes]:
    """The parts of a body, none of them large, for as long as it is neither too long nor too slow."""
    begun_us, size = environment.now_us(), 0
    async with aclosing(body.parts()) as parts:
        async for part in parts:
            size += len(part)
            check_size(served, size)
            check_duration(served, environment.now_us() - begun_us)
            if len(part) <= PART_BYTES:
                yield part
                continue
            for at in range(0, len(part), PART_BYTES):
                yield part[at : at + PART_BYTES]


async def _head(parts: AsyncGenerator[bytes], most: int) -> tuple[bytes, bytes | None]:
    """The first bytes of a stream; and the part by which there are more than `most`, or None when that is all."""
    head = bytearray()
    async for part in parts:
        if len(head) + len(part) > most:
            return bytes(head), part
        head += part
    return bytes(head), None


async def _from_head(head: bytes, part: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    yield part
    async for each in parts:
        yield each


async def _sliced_value(value: bytes, start: int, end: int) -> AsyncGenerator[bytes]:
    if start < end:
        yield value[start:end]


def _batches(
    served: ServedNamespace, partition: bytes, request: PutValue, time_us: int, token: str, come: Come
) -> tuple[Batch, Batch]:
    """The write of a value, and one that all its repetitions share."""
    if come.manifest is None:
        item = PutItem(key=request.key, value=come.value, ttl=request.ttl)
        # What was small when it came may be over the threshold by now; it still fits a row.
        batch = put_batch(partition, [item], time_us, token, len(come.value))
        return batch, batch
    expires_us = 0 if request.ttl is None else time_us + check_ttl(request.ttl)
    alike = Manifest(come.digest, come.size, 0, b"")
    written, shared = (
        Batch(cells=[(request.key, version.put_head(time_us, token, expires_us, metadata_of(manifest)))])
        for manifest in (come.manifest, alike)
    )
    return written, shared


def _reused() -> TokenReused:
    return TokenReused(
        "another value, or one with another time to live, was put under this token",
        field="idempotency_token",
        hint="make a token for each write, and send the same value when repeating",
    )
