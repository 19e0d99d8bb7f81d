"""Operations of the kind *job*: work that outlives the call that started it.

    class NamespacesCalls:
        @job(ExportNamespace, access="read", restart="resume")
        def export(self) -> Exported:
            "All records of a namespace are in one file."

A call answers at once with a `Job`; its result is what the declared method is annotated to return.

    job = await namespaces.export(name="profiles")
    async for info in job.watch(): ...
    exported = await job.result()
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, ClassVar, Generic, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, overload

import msgspec

from soundstage.core.call import Access
from soundstage.core.errors import SoundstageError
from soundstage.core.files import File
from soundstage.core.message import Instant, Int64
from soundstage.core.operation import AsyncFace, Kind, Operation, SyncFace

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

JobState: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]

Restart: TypeAlias = Literal["resume", "restart", "fail"]
"""What becomes of a job whose process died: goes on from its last checkpoint, begins again, or has failed."""

ENDED: frozenset[JobState] = frozenset(("succeeded", "failed", "cancelled"))


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a job is: `done` of `total` (unknown: None) in `unit`; `note` says what it is at."""

    done: Int64 = 0
    total: Int64 | None = None
    unit: str = ""
    note: str = ""


class JobInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job as everyone may see it. `error` is the problem that a failed one ended with.

    `attempt` counts how often it was begun. `files` are its output, complete once it has succeeded.
    """

    job_id: str
    system: str
    operation: str
    state: JobState
    created_at: Instant
    created_by: str = ""
    namespaces: list[str] = []
    started_at: Instant | None = None
    ended_at: Instant | None = None
    attempt: Int64 = 0
    cancelling: bool = False
    progress: Progress = Progress()
    error: dict[str, Any] | None = None
    files: list[File] = []


class JobStarted(msgspec.Struct, frozen=True, kw_only=True):
    """What a call of a job operation is answered with."""

    job_id: str


class Job(Protocol[R_co]):
    """A job of an asynchronous client."""

    @property
    def job_id(self) -> str: ...

    async def info(self) -> JobInfo:
        """The job as it is now."""
        ...

    def watch(self) -> AsyncGenerator[JobInfo]:
        """The job whenever it changes, first as it is now; ends once the job has."""
        ...

    async def result(self) -> R_co:
        """What the job came to, waited for; raises what it failed with, `PreconditionFailed` if it was cancelled."""
        ...

    async def cancel(self) -> JobInfo:
        """The job ends soon, as `cancelled`; one that has ended stays as it is. Safe to repeat."""
        ...


class SyncJob(Protocol[R_co]):
    """A job of a synchronous client; its methods are those of `Job`."""

    @property
    def job_id(self) -> str: ...

    def info(self) -> JobInfo: ...

    def watch(self) -> Generator[JobInfo]: ...

    def result(self) -> R_co: ...

    def cancel(self) -> JobInfo: ...


class JobOperation(Operation[P, R]):
    """A declared job; also the descriptor that gives both faces their typed methods.

    `reply` is the type of its result; what the wire answers is `JobStarted`.
    """

    kind: ClassVar[Kind] = "job"

    def __init__(
        self,
        request: Callable[P, Any],
        declared: Callable[[Any], R],
        *,
        access: Access,
        restart: Restart,
        errors: tuple[type[SoundstageError], ...],
    ) -> None:
        super().__init__(request, declared, access=access, idempotent=False, errors=errors)
        self.restart: Restart = restart

    @property
    def answer(self) -> type[Any]:
        return JobStarted

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> JobOperation[P, R]: ...
    @overload
    def __get__(self, instance: AsyncFace, owner: type[Any]) -> AsyncJobCall[P, R]: ...
    @overload
    def __get__(self, instance: SyncFace, owner: type[Any]) -> SyncJobCall[P, R]: ...
    def __get__(
        self, instance: AsyncFace | SyncFace | None, owner: type[Any]
    ) -> JobOperation[P, R] | AsyncJobCall[P, R] | SyncJobCall[P, R]:
        if instance is None:
            return self
        return AsyncJobCall(self, instance) if isinstance(instance, AsyncFace) else SyncJobCall(self, instance)


def job(
    request: Callable[P, Any],
    *,
    access: Access,
    restart: Restart,
    errors: tuple[type[SoundstageError], ...] = (),
) -> Callable[[Callable[[Any], R]], JobOperation[P, R]]:
    """Declare the method below as a job that comes to what it is annotated to return."""

    def declare(declared: Callable[[Any], R]) -> JobOperation[P, R]:
        return JobOperation(request, declared, access=access, restart=restart, errors=errors)

    return declare


class AsyncJobCall(Generic[P, R]):
    """A job operation bound to an asynchronous client; call it with the request's fields."""

    __slots__ = ("_face", "operation")

    def __init__(self, operation: JobOperation[P, R], face: AsyncFace) -> None:
        self.operation: JobOperation[P, R] = operation
        self._face = face

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Job[R]]:
        face = self._face
        return face.invoker.start_job(self.operation, face.request(self.operation, args, kwargs), face.options)


class SyncJobCall(Generic[P, R]):
    """A job operation bound to a synchronous client; call it with the request's fields."""

    __slots__ = ("_face", "operation")

    def __init__(self, operation: JobOperation[P, R], face: SyncFace) -> None:
        self.operation: JobOperation[P, R] = operation
        self._face = face

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> SyncJob[R]:
        face = self._face
        return face.invoker.start_job_sync(self.operation, face.request(self.operation, args, kwargs), face.options)
