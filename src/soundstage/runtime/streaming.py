"""Uploads and downloads on their way between their door and a service.

They are counted as calls for as long as bytes pass, so that a stage which stops lets them end, and besides are bounded
in number, for each holds a few chunks in memory.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import msgspec
from xxhash import xxh3_128

from soundstage.core.call import Call
from soundstage.core.errors import Exhausted, InvalidArgument, TokenReused
from soundstage.core.operation import Operation
from soundstage.core.streaming import Body, Content
from soundstage.runtime.admission import Admission
from soundstage.runtime.dispatch import BoundOperation, Handler, Interceptors


class Streams:
    """All uploads and downloads of a stage that are under way: `count` of them, up to `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.count: int = 0

    @contextmanager
    def entered(self) -> Generator[None]:
        """One more, for the length of the block. Raises `Exhausted`."""
        if self.count >= self._limit:
            raise Exhausted(
                f"{self._limit} uploads and downloads are under way, the limit of the stage",
                hint="retry with fewer at a time, or raise admission.streams",
                retry_after_ms=1_000,
            )
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


class BoundUpload(BoundOperation):
    """One upload of one stage. Its service is given the body besides call and request."""

    __slots__ = ("_streams",)

    def __init__(self, operation: Operation[..., Any], interceptors: Interceptors, streams: Streams) -> None:
        super().__init__(operation, interceptors)
        self._streams = streams

    async def upload(self, call: Call, request: Any, body: Body) -> Any:
        """The reply to `request` and what comes with it; errors as for `run`."""
        return await self.run(msgspec.structs.replace(call, body=body), request)

    async def _authorised(self, call: Call, request: Any) -> Any:
        reply, body = await super()._authorised(call, request), call.body
        if body is not None and not body.begun:
            # It was done before, under the same key: of what came then the reply says size and checksum.
            with self._streams.entered(), _under_way(self._admission):
                if call.deadline_ns is None:
                    await _check_same(reply, body)
                else:
                    await self._in_time(lambda _, __: _check_same(reply, body), call, request, call.deadline_ns)
        return reply

    async def _open(self, call: Call, request: Any) -> Any:
        service = await self._on.systems.started(self.operation.system)
        serve = getattr(service, self.operation.attribute)

        async def handler(call: Call, request: Any) -> Any:
            if call.body is None:
                raise InvalidArgument(f"{self.operation.path} is an upload", hint="send bytes with it")
            with self._streams.entered():
                return await serve(call, request, call.body)

        self.handler: Handler = handler
        return await handler(call, request)


class BoundDownload(BoundOperation):
    """One download of one stage; `open` is its way, in place of `run`."""

    __slots__ = ("_streams",)

    def __init__(self, operation: Operation[..., Any], interceptors: Interceptors, streams: Streams) -> None:
        super().__init__(operation, interceptors)
        self._streams = streams
        self.run_local: Callable[[Any], Coroutine[Any, Any, Any]] = self._run_owner

    async def run(self, call: Call, request: Any) -> Any:
        """Refused: what is found is read while it is open."""
        raise InvalidArgument(f"{self.operation.path} is a download", hint="open it")

    @asynccontextmanager
    async def open(self, call: Call, request: Any) -> AsyncGenerator[Content[Any]]:
        """What `request` names, to be read within the block. A deadline is for finding it: reading takes its time."""
        with self._streams.entered():
            content = await super().run(call, request)
            with _under_way(self._admission):
                yield content


@contextmanager
def _under_way(admission: Admission) -> Generator[None]:
    """The block counts as a call."""
    admission.in_flight += 1
    try:
        yield
    finally:
        admission.in_flight -= 1


async def _check_same(reply: Any, body: Body) -> None:
    """Raises `TokenReused` for other bytes than those of `reply`, of which no more are read than came then."""
    digest, received = xxh3_128(), 0
    if body.size in (None, reply.size):
        async with aclosing(body.parts()) as parts:
            async for part in parts:
                received += len(part)
                if received > reply.size:
                    break
                digest.update(part)
    if received != reply.size or digest.hexdigest() != reply.checksum:
        raise TokenReused(
            "other bytes were sent under this Idempotency-Key",
            field="Idempotency-Key",
            hint="make a key for each request, and send the same request when repeating",
        )
