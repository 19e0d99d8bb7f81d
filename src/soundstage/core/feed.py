"""Operations of the kind *feed*: one message in, any number out, for as long as the caller follows.

    class NamespacesCalls:
        @feed(WatchNamespaces, access="read")
        def watch(self) -> NamespaceEvent:
            "Every change of a namespace, from `cursor` on."

Each message has a field `cursor`; a request that gives it back goes on after that message, missing and
repeating nothing, for as long as what follows it is kept. `async for event in namespaces.watch()` reads;
the synchronous face gives an ordinary iterator. A feed ends when its caller stops, with an error as its last
word when it cannot go on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar, overload

import msgspec

from soundstage.core.call import Access
from soundstage.core.errors import SoundstageError
from soundstage.core.operation import AsyncFace, Kind, Operation, SyncFace

P = ParamSpec("P")
M = TypeVar("M")

CURSOR = "cursor"
"""The field of a feed's request and messages that says where to go on."""

CURSOR_MAX_CHARS = 1_024
HEARTBEAT_S = 15.0
"""A feed that has nothing to say says so this often."""


class Position(msgspec.Struct, frozen=True):
    """What a service yields, besides messages, to say how far it has looked: everything up to `cursor` was told.

    The first thing it yields, so that who loses the connection before a message can go on from there; and again
    when it has passed over much that its caller does not want. Callers do not see it.
    """

    cursor: str


class FeedOperation(Operation[P, M]):
    """A declared feed; also the descriptor that gives both faces their typed methods."""

    kind: ClassVar[Kind] = "feed"

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> FeedOperation[P, M]: ...
    @overload
    def __get__(self, instance: AsyncFace, owner: type[Any]) -> AsyncFeed[P, M]: ...
    @overload
    def __get__(self, instance: SyncFace, owner: type[Any]) -> SyncFeed[P, M]: ...
    def __get__(
        self, instance: AsyncFace | SyncFace | None, owner: type[Any]
    ) -> FeedOperation[P, M] | AsyncFeed[P, M] | SyncFeed[P, M]:
        if instance is None:
            return self
        return AsyncFeed(self, instance) if isinstance(instance, AsyncFace) else SyncFeed(self, instance)


def feed(
    request: Callable[P, Any], *, access: Access, errors: tuple[type[SoundstageError], ...] = ()
) -> Callable[[Callable[[Any], M]], FeedOperation[P, M]]:
    """Declare the method below as a feed of the messages that it is annotated to return.

    Raises `TypeError` for a request without a field `cursor`.
    """

    def declare(declared: Callable[[Any], M]) -> FeedOperation[P, M]:
        operation = FeedOperation(request, declared, access=access, idempotent=True, errors=errors)
        if CURSOR not in operation.request.__struct_fields__:
            raise TypeError(
                f"{operation.request.__name__} needs a field `{CURSOR}: str | None = None` to resume a feed"
            )
        return operation

    return declare


class AsyncFeed(Generic[P, M]):
    """A feed bound to an asynchronous client; call it with the request's fields and iterate."""

    __slots__ = ("_face", "operation")

    def __init__(self, operation: FeedOperation[P, M], face: AsyncFace) -> None:
        self.operation: FeedOperation[P, M] = operation
        self._face = face

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[M]:
        face = self._face
        return face.invoker.follow(self.operation, face.request(self.operation, args, kwargs), face.options)


class SyncFeed(Generic[P, M]):
    """A feed bound to a synchronous client; call it with the request's fields and iterate."""

    __slots__ = ("_face", "operation")

    def __init__(self, operation: FeedOperation[P, M], face: SyncFace) -> None:
        self.operation: FeedOperation[P, M] = operation
        self._face = face

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Generator[M]:
        face = self._face
        return face.invoker.follow_sync(self.operation, face.request(self.operation, args, kwargs), face.options)
