"""The blobs of a run: one engine in memory for all processes, and each one's way to it, with faults."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from soundstage.core.errors import Unavailable
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.engines.blobs.port import BlobCapability
from soundstage.testing.simulation.faults import FaultRates
from soundstage.testing.simulation.turn import dice, strikes

_CALLS = frozenset({"put", "head", "delete", "list", "usage", "sweep"})


class BlobWay:
    """The engine as one process reaches it: not at all once `is_cut` says so, and with the faults of `rates`.

    Calls are lost before they are done or after, and are late; a put may be cut off between two chunks.
    """

    def __init__(self, blobs: MemoryBlobs, is_cut: Callable[[], bool], rates: Callable[[], FaultRates]) -> None:
        self.capabilities: frozenset[BlobCapability] = blobs.capabilities
        self._blobs = blobs
        self._is_cut = is_cut
        self._rates = rates

    async def start(self) -> None:
        """It is the host's to start."""

    async def stop(self) -> None:
        """It is the host's to stop."""

    def __getattr__(self, name: str) -> Any:
        if name not in _CALLS:
            raise AttributeError(name)

        async def reach(*args: Any, **options: Any) -> Any:
            self._check()
            if strikes(self._rates().lost_before):
                raise Unavailable("the call was lost on its way", outcome="not_applied")
            if name == "put":
                args = (args[0], self._cut(args[1]), *args[2:])
            answer = await getattr(self._blobs, name)(*args, **options)
            self._check()
            if strikes(self._rates().lost_after):
                raise Unavailable("the answer was lost on its way", outcome="unknown")
            return answer

        return reach

    async def open(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        async for chunk in self._blobs.open(key, start, end):
            self._check()
            if strikes(self._rates().lost_before):
                raise Unavailable("the connection was lost", outcome="not_applied")
            yield chunk

    async def _cut(self, chunks: Any) -> AsyncGenerator[bytes]:
        async for chunk in chunks:
            yield chunk
            self._check()
            if strikes(self._rates().lost_before * dice().random()):
                raise Unavailable("the connection was lost", outcome="not_applied")

    def _check(self) -> None:
        if self._is_cut():
            raise Unavailable("this process has ended", outcome="not_applied", retryable=False)
