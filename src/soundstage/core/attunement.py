"""What clients do of themselves to the messages of a system, as the server signals for a namespace.

A system whose clients are to be tuned by the server names a module in its declaration, `attunement`, with an
`ATTUNEMENT` in it: how to ask for the signals, and what they mean for its messages. That module imports nothing but
`core` and `api` modules, as clients do, and is loaded by the first call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Annotated, Any, Literal, Protocol, TypeAlias

import msgspec
from msgspec import Meta

from soundstage.core.dictionaries import KNOWN_MAX, Dictionaries
from soundstage.core.errors import DataLoss, NotFound, SoundstageError
from soundstage.core.message import Duration
from soundstage.core.namespace import LatencyObjective
from soundstage.core.operation import Operation
from soundstage.core.policy import HEDGE_SHARE_MAX, Resumption

log: logging.Logger = logging.getLogger("soundstage.attunement")

REPLY_MAX_BYTES = 64 << 20
"""What callers in process are shown of compressed values in one reply, at most."""

LONG_US = 1_000
"""What takes longer, connections do in a thread: to hand it over and back costs an eighth of that."""

SIGNALS_HEADER = "soundstage-signals"
"""The version of a namespace's signals, on replies over HTTP of namespaces that have something to tune."""


class Hedging(msgspec.Struct, frozen=True, kw_only=True):
    """When a second request is to be sent beside one that is late, at most one per call.

    `after`: never, after the operation's latency `target`, or after what all but 5 % of the client's own calls took,
    and the target until that is known. Of all calls up to `share` are sent twice; of writes, only with `writes`.
    """

    after: Annotated[
        Literal["never", "target", "p95"],
        Meta(
            description="when clients send a second request beside a late one: `never`, after the `target` of the "
            "operation's objective, or after what 95 % of a client's calls take (`p95`), and the target until it knows"
        ),
    ] = "target"
    share: Annotated[
        float, Meta(ge=0, le=HEDGE_SHARE_MAX, description="of its calls a client sends no more than this part twice")
    ] = HEDGE_SHARE_MAX
    writes: Annotated[
        bool, Meta(description="writes too, under the same token; else reads alone are sent a second time")
    ] = False


class Signals(msgspec.Struct, frozen=True, kw_only=True):
    """What a server tells clients about a namespace: as of `version`, to be asked for again after `hold`.

    `slos` are the objectives by operation, those for all reads or writes put under each.
    """

    version: str
    hold: Duration
    slos: dict[str, LatencyObjective]
    hedging: Hedging


Known: TypeAlias = Callable[[str], Any]
"""The signals of a namespace as they are known, or None."""

Ask: TypeAlias = Callable[[Operation[..., Any], Any], Coroutine[Any, Any, Any]]
"""Sends a question of the client's own."""


class Attunement(Protocol):
    """What a system's clients do of themselves; see the module."""

    def concerns(self, operation: Operation[..., Any]) -> bool:
        """Whether anything is done for calls of the operation."""
        ...

    def namespaces(self, operation: Operation[..., Any], request: Any) -> Sequence[str]:
        """The namespaces whose signals the call goes by."""
        ...

    def urges(self, operation: Operation[..., Any], request: Any) -> bool:
        """Whether the signals are worth asking for before the call is sent, where none are known."""
        ...

    def question(self, namespace: str) -> tuple[Operation[..., Any], Any]:
        """The operation and request that ask for the signals of a namespace."""
        ...

    def signals(self, reply: Any) -> Signals:
        """Those that the reply to a question has."""
        ...

    def outgoing(self, operation: Operation[..., Any], request: Any, known: Known, dictionaries: Dictionaries) -> Any:
        """The request to send: what the caller asked for, as the namespaces it concerns want it; the same if it is."""
        ...

    def outgoing_us(self, operation: Operation[..., Any], request: Any, known: Known) -> int:
        """About how many microseconds `outgoing` has to do at most. Both may then be called in a thread."""
        ...

    def incoming_us(self, operation: Operation[..., Any], message: Any, limit: int) -> int:
        """The same of `incoming`."""
        ...

    def wants(self, signals: Signals) -> str | None:
        """The dictionary that writes by these signals are to be compressed with, by the name of its codec."""
        ...

    def lacks(self, message: Any, dictionaries: Dictionaries) -> Sequence[str]:
        """The dictionaries that are needed to show a message and are not known."""
        ...

    def fetching(self, namespace: str, codec: str) -> tuple[Operation[..., Any], Any]:
        """The operation and request that ask for a dictionary; the reply has its `content`."""
        ...

    def is_coded(self, operation: Operation[..., Any], message: Any) -> bool:
        """Whether a reply, or a message of a feed, has anything that its caller is not to see as it is."""
        ...

    def incoming(self, operation: Operation[..., Any], message: Any, limit: int, dictionaries: Dictionaries) -> Any:
        """The reply, or message of a feed, as its caller is to see it; up to `limit` bytes of it, else `TooLarge`."""
        ...


@lru_cache(maxsize=64)
def _loaded(module: str) -> Attunement:
    return import_module(module).ATTUNEMENT


def attunement_of(operation: Operation[..., Any]) -> Attunement | None:
    """What is done of itself for calls of the operation; None for nothing."""
    if operation.attunement is None:
        return None
    found = _loaded(operation.attunement)
    return found if found.concerns(operation) else None


class Understanding:
    """Shows to one caller, a connection or a stage, what it is told; fetches by `ask` the dictionaries that it lacks.

    All who lack the same one wait for one that fetches it. What takes long is done in a thread where it may be put
    `aside`.
    """

    def __init__(self, ask: Ask, limit: int = REPLY_MAX_BYTES, *, aside: bool = False) -> None:
        self.dictionaries: Dictionaries = Dictionaries()
        self._ask = ask
        self._limit = limit
        self._aside = aside
        self._fetching = asyncio.Lock()
        self._missed: set[str] = set()

    def of(self, operation: Operation[..., Any]) -> Callable[[Any, Any], Any] | None:
        """What shows the replies of one operation, each with its request; None where each is to be seen as it is.

        It returns the message to show, or a coroutine that does.
        """
        attunement = attunement_of(operation)
        if attunement is None or operation.access != "read":
            return None
        is_coded = attunement.is_coded

        def understand(request: Any, message: Any) -> Any:
            return self._undone(attunement, operation, request, message) if is_coded(operation, message) else message

        return understand

    def is_coded(self, operation: Operation[..., Any], message: Any) -> bool:
        """Whether a reply, or a message of a feed, has to be `understood` before its caller sees it."""
        attunement = attunement_of(operation)
        return attunement is not None and attunement.is_coded(operation, message)

    async def understood(self, operation: Operation[..., Any], request: Any, message: Any) -> Any:
        """A reply, or a message of a feed, as its caller is to see it. Raises `TooLarge` over the limit."""
        attunement = attunement_of(operation)
        if attunement is None or not attunement.is_coded(operation, message):
            return message
        found = self._undone(attunement, operation, request, message)
        return await found if asyncio.iscoroutine(found) else found

    async def understood_at_last(
        self, operation: Operation[..., Any], request: Any, message: Any, resumption: Resumption
    ) -> Any:
        """As `understood`, tried again while `resumption` has it; who has a deadline ends it by that."""
        while True:
            try:
                return await self.understood(operation, request, message)
            except SoundstageError as error:
                await resumption.wait(error)

    async def prepared(self, attunement: Attunement, namespace: str, codec: str, ask: Ask) -> bool:
        """The dictionary was fetched by `ask`, for who can do without; false, and nothing done, while others fetch any.

        It is not known where there is none of the name, or what came is another. Raises what `ask` does besides.
        """
        if self.dictionaries.find(codec) is not None:
            return True
        if self._fetching.locked():
            return False
        await self._fetch(attunement, namespace, codec, ask)
        return True

    async def _fetch(self, attunement: Attunement, namespace: str, codec: str, ask: Ask) -> None:
        async with self._fetching:
            if self.dictionaries.find(codec) is not None:
                return
            operation, request = attunement.fetching(namespace, codec)
            try:
                self.dictionaries.add(codec, (await ask(operation, request)).content)
            except (NotFound, DataLoss) as error:
                self._miss(namespace, codec, error.detail)

    def _miss(self, namespace: str, codec: str, reason: str) -> None:
        """The log has it, once, that values of a namespace cannot be shown, and which."""
        if codec in self._missed or len(self._missed) >= KNOWN_MAX:
            return
        self._missed.add(codec)
        log.warning(
            "the dictionary of a namespace cannot be had: items that need it come without their values",
            extra={"namespace": namespace, "codec": codec, "reason": reason},
        )

    def _undone(self, attunement: Attunement, operation: Operation[..., Any], request: Any, message: Any) -> Any:
        lacking = attunement.lacks(message, self.dictionaries)
        if lacking:
            return self._fetched(attunement, operation, request, message, lacking)
        return self._shown(attunement, operation, message)

    def _shown(self, attunement: Attunement, operation: Operation[..., Any], message: Any) -> Any:
        if self._aside and attunement.incoming_us(operation, message, self._limit) >= LONG_US:
            return asyncio.to_thread(attunement.incoming, operation, message, self._limit, self.dictionaries)
        return attunement.incoming(operation, message, self._limit, self.dictionaries)

    async def _fetched(
        self,
        attunement: Attunement,
        operation: Operation[..., Any],
        request: Any,
        message: Any,
        lacking: Sequence[str],
    ) -> Any:
        for namespace in attunement.namespaces(operation, request):
            for codec in lacking:
                await self._fetch(attunement, namespace, codec, self._ask)
        found = self._shown(attunement, operation, message)
        return await found if asyncio.iscoroutine(found) else found
