"""The declaration of an operation, from which every surface derives.

    class KeyValueCalls:
        system = "kv"

        @operation(PutItems, access="write", idempotent=True)
        def put_items(self) -> PutItemsReply:
            "All items are stored, visible together within the record."

    class KeyValue(AsyncFace, KeyValueCalls): ...
    class SyncKeyValue(SyncFace, KeyValueCalls): ...

`KeyValue(...).put_items` is then an `AsyncCall` whose arguments are the fields of `PutItems` and whose
result is `PutItemsReply`; `SyncKeyValue(...).put_items` the same without `await`. The body of a declared
method never runs; its docstring documents HTTP, OpenAPI, CLI and console.

An operation has a kind, which its class says: one message in and one out here, `soundstage.core.feed` for
one in and many out, `soundstage.core.job` for work that outlives the call that started it,
`soundstage.core.streaming` for bytes of any length beside the message.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from soundstage.core.call import DEFAULT_OPTIONS, Access, CallOptions
from soundstage.core.errors import InvalidArgument, SoundstageError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

P = ParamSpec("P")
R = TypeVar("R")
Self_ = TypeVar("Self_", bound="Face")

Kind: TypeAlias = Literal["call", "feed", "job", "upload", "download"]


class Operation(Generic[P, R]):
    """One declared operation of any kind.

    `idempotent` says that a repetition under the same token changes nothing, so that clients may retry.
    `errors` are those beyond what every operation may raise. `attribute` is the method that declares it, and the one
    that serves it: `name`, or `name` and an underscore where Python keeps the name for itself. `method` is that of
    HTTP. One that `waits` may be answered late because nothing has happened yet: its callers count as followers of
    feeds do. One that `reads` changes nothing that is stored, and finds nothing where nothing is. One that
    `checks_types` is handed the requests of callers in process as they are: its service answers for every field, and
    is spared the reading that all others' requests go through. One that is `prompt` mostly ends without waiting, and
    runs outside of any task, which its service and its engines can do without. Requests that are `keyed` are sent by
    clients under an `Idempotency-Key` of their own making: repeated without one, they would be answered otherwise
    than the first time.
    `ticks` says how many microseconds the token of a request stands for, where that is more than one.
    `recall` names what clients remember of its calls, from its system's declaration: see `soundstage.core.recall`.
    `attunement` names what clients do of themselves to its messages, from its system's declaration: see
    `soundstage.core.attunement`.
    """

    kind: ClassVar[Kind]
    method: ClassVar[str] = "POST"
    name: str
    attribute: str
    system: str
    recall: str | None = None
    attunement: str | None = None

    def __init__(
        self,
        request: Callable[P, Any],
        declared: Callable[[Any], R],
        *,
        access: Access,
        idempotent: bool,
        errors: tuple[type[SoundstageError], ...],
        waits: bool = False,
        checks_types: bool = False,
        prompt: bool = False,
        keyed: Callable[[Any], bool] | None = None,
        ticks: Callable[[Any], int] | None = None,
    ) -> None:
        self.request: type[Any] = typing.cast("type[Any]", request)
        self.declared = declared
        self.access: Access = access
        self.idempotent = idempotent
        self.errors = errors
        self.waits = waits
        self.checks_types = checks_types
        self.prompt: bool = prompt
        self.keyed: Callable[[Any], bool] | None = keyed
        self.ticks: Callable[[Any], int] | None = ticks
        self.doc: str = inspect.getdoc(declared) or ""
        fields: tuple[str, ...] = self.request.__struct_fields__
        self.namespaced: bool = "namespace" in fields
        self.paged: bool = "page_token" in fields
        self.tokened: bool = "idempotency_token" in fields
        self.reads: bool = self.paged or access in ("read", "observe")

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.attribute = name
        # `import_` is how Python writes the name `import`.
        self.name = name.removesuffix("_")
        self.system = owner.system
        self.recall = getattr(owner, "recall", None)
        self.attunement = getattr(owner, "attunement", None)

    @cached_property
    def reply(self) -> type[R]:
        """The message type that the declared method is annotated to return."""
        return typing.get_type_hints(self.declared)["return"]

    @property
    def answer(self) -> type[Any]:
        """The message type that a caller from outside is answered with."""
        return self.reply

    @property
    def path(self) -> str:
        return f"/v1/{self.system}/{self.name}"


class CallOperation(Operation[P, R]):
    """An operation of one message in, one out; also the descriptor that gives both faces their typed methods."""

    kind: ClassVar[Kind] = "call"

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> CallOperation[P, R]: ...
    @overload
    def __get__(self, instance: AsyncFace, owner: type[Any]) -> AsyncCall[P, R]: ...
    @overload
    def __get__(self, instance: SyncFace, owner: type[Any]) -> SyncCall[P, R]: ...
    def __get__(
        self, instance: AsyncFace | SyncFace | None, owner: type[Any]
    ) -> CallOperation[P, R] | AsyncCall[P, R] | SyncCall[P, R]:
        if instance is None:
            return self
        bound = _async_call(self, instance) if isinstance(instance, AsyncFace) else SyncCall(self, instance)
        # Being no data descriptor, the attribute found in the instance wins from the next access on.
        instance.__dict__[self.attribute] = bound
        return bound


def operation(
    request: Callable[P, Any],
    *,
    access: Access,
    idempotent: bool = False,
    errors: tuple[type[SoundstageError], ...] = (),
    waits: bool = False,
    checks_types: bool = False,
    prompt: bool = False,
    keyed: Callable[[Any], bool] | None = None,
    ticks: Callable[[Any], int] | None = None,
) -> Callable[[Callable[[Any], R]], CallOperation[P, R]]:
    """Declare the method below as an operation that takes the message `request`."""

    def declare(declared: Callable[[Any], R]) -> CallOperation[P, R]:
        return CallOperation(
            request,
            declared,
            access=access,
            idempotent=idempotent,
            errors=errors,
            waits=waits,
            checks_types=checks_types,
            prompt=prompt,
            keyed=keyed,
            ticks=ticks,
        )

    return declare


def operations_of(calls: type[Any]) -> dict[str, Operation[..., Any]]:
    """The operations that `calls` declares, by name, in the order of declaration."""
    return {found.name: found for found in vars(calls).values() if isinstance(found, Operation)}


class Invoker(Protocol):
    """Carries a request to where its operation runs: a stage in process, or a remote one.

    `invoke` gives the reply of a call, `follow` the messages of a feed, `start_job` a `soundstage.core.job.Job`;
    `upload` sends what a source brings (`soundstage.core.transfers.Source`) and gives the reply, `download` opens a
    `soundstage.core.streaming.Content`.
    """

    def invoke(
        self, operation: Operation[..., Any], request: Any, options: CallOptions
    ) -> Coroutine[Any, Any, Any]: ...

    def follow(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> AsyncGenerator[Any]: ...

    def start_job(
        self, operation: Operation[..., Any], request: Any, options: CallOptions
    ) -> Coroutine[Any, Any, Any]: ...

    def upload(self, operation: Any, request: Any, source: Any, options: CallOptions) -> Coroutine[Any, Any, Any]: ...

    def download(self, operation: Any, request: Any, options: CallOptions) -> AbstractAsyncContextManager[Any]: ...


class SyncInvoker(Protocol):
    """The same, without an event loop."""

    def invoke_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any: ...

    def follow_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Generator[Any]: ...

    def start_job_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any: ...

    def upload_sync(self, operation: Any, request: Any, source: Any, options: CallOptions) -> Any: ...

    def download_sync(self, operation: Any, request: Any, options: CallOptions) -> Any: ...


class Face:
    """What both faces share: an optional namespace, filled into requests, and options per call."""

    system: str

    def __init__(self, invoker: Any, namespace: str = "", options: CallOptions = DEFAULT_OPTIONS) -> None:
        self.invoker = invoker
        self.namespace = namespace
        self.options = options

    def request(self, operation: Operation[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        """The request that a caller's arguments spell, of this client's namespace unless they name another."""
        if self.namespace and operation.namespaced and "namespace" not in given:
            given = {**given, "namespace": self.namespace}
        return operation.request(*args, **given)

    def with_options(
        self: Self_,
        *,
        deadline: float | None = None,
        idempotency_key: str | None = None,
        request_id: str | None = None,
        retries: int | None = None,
    ) -> Self_:
        """A client whose calls carry these options besides its own; `deadline` is in seconds from each call."""
        before = self.options
        options = CallOptions(
            deadline=before.deadline if deadline is None else deadline,
            idempotency_key=before.idempotency_key if idempotency_key is None else idempotency_key,
            request_id=before.request_id if request_id is None else request_id,
            retries=before.retries if retries is None else retries,
        )
        return type(self)(self.invoker, self.namespace, options)


F = TypeVar("F", bound=Face)


class AsyncFace(Face):
    """Base of every asynchronous client."""

    invoker: Invoker


class SyncFace(Face):
    """Base of every synchronous client; not for use on an event loop's thread."""

    invoker: SyncInvoker


def face_of(wanted: type[Face], face: type[F]) -> type[F]:
    """`face`, which is one that `wanted` is the base of. Raises `InvalidArgument` for one of the other kind."""
    if not issubclass(face, wanted):
        this, other = ("async", "sync") if wanted is AsyncFace else ("sync", "async")
        ours = face.__name__.removeprefix("Sync") if wanted is AsyncFace else f"Sync{face.__name__}"
        raise InvalidArgument(
            f"{face.__name__} is no {this} client, and this is the {this} way to a stage",
            hint=f"use {ours} here, or open the {other} connection or stage",
        )
    return face


class AsyncCall(Generic[P, R]):
    """An operation bound to an asynchronous client; call it with the request's fields.

    `pages` gives every page of a paged operation, in order, fetched as the caller asks for the next. At run
    time this is a function with these attributes: Python calls one in half the time of an object.
    """

    operation: Operation[P, R]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...

    def pages(self, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[R]: ...


def _async_call(operation: Operation[P, R], face: AsyncFace) -> AsyncCall[P, R]:
    request, invoke, options = operation.request, face.invoker.invoke, face.options
    namespace = face.namespace if operation.namespaced else ""

    def call(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, R]:
        if namespace and "namespace" not in kwargs:
            kwargs["namespace"] = namespace
        return invoke(operation, request(*args, **kwargs), options)

    async def pages(*args: Any, **kwargs: Any) -> AsyncIterator[R]:
        while True:
            reply = await call(*args, **kwargs)
            yield reply
            page_token = getattr(reply, "next_page_token", None)
            if page_token is None:
                return
            kwargs["page_token"] = page_token

    bound = typing.cast("AsyncCall[P, R]", call)
    bound.operation, bound.pages = operation, pages
    return bound


class SyncCall(Generic[P, R]):
    """An operation bound to a synchronous client; call it with the request's fields."""

    __slots__ = ("_invoke", "_namespace", "_options", "_request", "operation")

    def __init__(self, operation: Operation[P, R], face: SyncFace) -> None:
        self.operation: Operation[P, R] = operation
        self._request = operation.request
        self._invoke = face.invoker.invoke_sync
        self._namespace = face.namespace if operation.namespaced else ""
        self._options = face.options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._namespace and "namespace" not in kwargs:
            kwargs["namespace"] = self._namespace
        return self._invoke(self.operation, self._request(*args, **kwargs), self._options)

    def pages(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        """Every page of a paged operation, in order, fetched as the caller asks for the next."""
        while True:
            reply = self(*args, **kwargs)
            yield reply
            page_token = getattr(reply, "next_page_token", None)
            if page_token is None:
                return
            kwargs["page_token"] = page_token
