"""The composition root: one object that opens what is configured and carries calls to it.

    async with Stage.open("stage.toml") as stage:
        profiles = stage.client(KeyValue, "profiles")

Parts start in the order of their dependencies and stop in reverse, after the calls under way have ended.
The stage knows systems from the catalogue only.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from soundstage.catalogue import SYSTEMS
from soundstage.core.attunement import Understanding
from soundstage.core.call import DEFAULT_OPTIONS, LOCAL, Call, CallOptions, Principal
from soundstage.core.environment import Environment, SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, NotFound, Unauthenticated, Unavailable
from soundstage.core.feed import Position
from soundstage.core.names import nearest
from soundstage.core.operation import AsyncFace, Operation, face_of
from soundstage.core.policy import Resumption, RetryPolicy, repeatable, retry_budget, retrying, with_token
from soundstage.core.steps import begin
from soundstage.core.streaming import Body, Content, DownloadOperation, UploadOperation
from soundstage.core.system import System
from soundstage.core.transfers import Reader, Source, supply_of
from soundstage.engines.blobs.port import Blobs
from soundstage.engines.cache.port import Cache
from soundstage.engines.log.port import Log
from soundstage.engines.records.port import Records
from soundstage.engines.search.port import Search
from soundstage.engines.tables.port import Tables
from soundstage.runtime.compute import Compute
from soundstage.runtime.config import StageConfig
from soundstage.runtime.control.changes import NamespaceControl
from soundstage.runtime.dispatch import BoundOperation
from soundstage.runtime.doors import DoorInfo, Doors
from soundstage.runtime.engines import Engines
from soundstage.runtime.files import Files
from soundstage.runtime.following import BoundFeed
from soundstage.runtime.health import Health, Watched
from soundstage.runtime.parts import Parts
from soundstage.runtime.roles import DOORS
from soundstage.runtime.stagefile import LoadedConfig, load_config
from soundstage.runtime.streaming import BoundDownload, BoundUpload
from soundstage.runtime.systems import Systems

if TYPE_CHECKING:
    from soundstage.runtime.metrics import DescribedMetric
    from soundstage.runtime.sync_stage import SyncStage

F = TypeVar("F", bound=AsyncFace)

BEARER = "bearer "

CALLS_A_TURN = 64
"""A call that finds all it needs in memory never waits: after so many in process, others on the loop have a turn."""


class Stage:
    """A running stage, once `start`ed or entered; in process it is its clients' `Invoker`.

    Not safe to share between event loops: each loop, and each process, opens its own.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        environment: Environment,
        systems: Sequence[System],
        background: bool,
        given: Mapping[str, Records | Blobs],
    ) -> None:
        self.loaded = loaded
        self.config: StageConfig = loaded.config
        self.environment = environment
        self._parts = Parts(loaded.config, environment, systems, background, given, self)
        self._exit: AsyncExitStack | None = None
        self._local: dict[Operation[..., Any], Any] = {}
        self._understanding = Understanding(lambda operation, request: self.invoke(operation, request, DEFAULT_OPTIONS))
        self._called = 0
        self._retries = retry_budget()
        self.gather: Callable[[], Awaitable[bytes]] | None = None
        """How the metrics of all processes of the stage are come by, where it has several."""

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        data: str | os.PathLike[str] | None = None,
        config: Mapping[str, Any] | LoadedConfig | None = None,
        overrides: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
        environment: Environment | None = None,
        systems: Sequence[System] = SYSTEMS,
        background: bool | None = None,
        engines: Mapping[str, Records | Blobs] | None = None,
    ) -> Stage:
        """A stage that is configured and not yet started: `async with` it, or `await` its `start`.

        `path` is a stage file, `config` the same as a nested map; `variables` are environment variables and
        `overrides` map dotted keys to values, each going before the one named before it. `data` stands for
        the key `data`: the folder of the embedded engines, or `memory:`. Without `background` nothing runs
        between calls; by default that is so on a virtual clock only. `engines` are opened in place of the
        configured ones of the same names, as tests do to put faults before them. Raises `InvalidArgument` for a
        configuration that is wrong.
        """
        flags = dict(overrides or {})
        if data is not None:
            flags["data"] = os.fspath(data)
        if isinstance(config, LoadedConfig):
            loaded = config
        else:
            loaded = load_config(path, tree=config, variables=variables, flags=flags)
        environment = environment or SystemEnvironment()
        if background is None:
            # A virtual clock moves on by every sleep: endless rounds would make time race.
            background = not isinstance(environment, VirtualEnvironment)
        return cls(loaded, environment, systems, background, engines or {})

    @staticmethod
    def open_sync(
        path: str | os.PathLike[str] | None = None,
        *,
        data: str | os.PathLike[str] | None = None,
        config: Mapping[str, Any] | LoadedConfig | None = None,
        overrides: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> SyncStage:
        """A started stage for synchronous programs, on an event loop in a thread of its own."""
        from soundstage.runtime.sync_stage import SyncStage

        return SyncStage(Stage.open(path, data=data, config=config, overrides=overrides, variables=variables))

    async def start(self) -> Stage:
        """Everything configured is open and calls are let in; returns itself. Starting twice changes nothing.

        When a part cannot start, those before it are stopped again and its error is raised.
        """
        if self._exit is None:
            async with AsyncExitStack() as exit:
                await self._parts.start(exit)
                self._exit = exit.pop_all()
        return self

    async def stop(self) -> None:
        """Calls under way have ended, or the time to drain has; everything is closed. Idempotent."""
        if self._exit is not None:
            exit, self._exit = self._exit, None
            self._local.clear()
            await exit.aclose()

    async def __aenter__(self) -> Stage:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def engines(self) -> Engines:
        """The engines by name; only while started."""
        return self._running().engines

    def log(self, engine: str = "default") -> Log:
        """The log that the engine of that name has beside its records, for programs of one's own.

        Raises `InvalidArgument` for an engine that is not there or has none.
        """
        return self.engines.log(engine, "engine")

    def search(self, engine: str = "default") -> Search:
        """The indexes that the engine of that name holds, for programs of one's own.

        Raises `InvalidArgument` for an engine that is not there or has none.
        """
        return self.engines.search(engine, "engine")

    def tables(self, engine: str) -> Tables:
        """The columnar tables of the engine of that name, for programs of one's own. Raises as `log` does."""
        return self.engines.tables(engine, "engine")

    def cache(self, engine: str) -> Cache:
        """The cache of that name, for programs of one's own. Raises as `log` does."""
        return self.engines.cache(engine, "engine")

    def blobs(self, engine: str) -> Blobs:
        """The large objects that the engine of that name holds, for programs of one's own. Raises as `log` does."""
        return self.engines.blobs(engine, "engine")

    @property
    def namespaces(self) -> NamespaceControl:
        """The control plane of the namespaces; only while started."""
        return self._running().namespaces

    @property
    def compute(self) -> Compute:
        """Threads and processes for work that would hold the event loop."""
        return self._parts.compute

    @property
    def files(self) -> Files:
        """The files that callers sent and jobs left; only while started."""
        return self._running().files

    @property
    def doors(self) -> Doors:
        """The doors that are configured; `open_doors` opens them."""
        return self._parts.doors

    async def open_doors(self) -> list[DoorInfo]:
        """Every configured door is open until the stage stops, and where. Raises `NotListening`; may be repeated.

        Without the role `doors` none listens by itself; those below a prefix are open wherever HTTP is.
        """
        await self._parts.doors.start(self._running(), listening=self.config.processes.runs(DOORS))
        return self._parts.doors.infos()

    @property
    def systems(self) -> Systems:
        """The systems of the catalogue."""
        return self._parts.systems

    def client(self, face: type[F], namespace: str = "") -> F:
        """A typed client of this stage; its calls go to `namespace` unless they name another."""
        return face_of(AsyncFace, face)(self, namespace)

    def invoke(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Coroutine[Any, Any, Any]:
        """The reply to `request`, as the owner of the process."""
        if options is DEFAULT_OPTIONS:
            run = self._local.get(operation) or self._bind_local(operation)
            self._called += 1
            return run(request) if self._called % CALLS_A_TURN else self._with_a_turn(run, request)
        return self._invoke_with(operation, request, options)

    async def follow(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> AsyncGenerator[Any]:
        """The messages of a feed, as the owner of the process; ends with `Unavailable` when the stage stops."""
        bound = self.operation(operation.system, operation.name)
        if not isinstance(bound, BoundFeed):
            raise InvalidArgument(f"{operation.path} is no feed", hint="call it")
        call = self._call(options)
        async with aclosing(bound.follow(call, bound.read(request))) as messages:
            async for message in messages:
                if type(message) is not Position:
                    yield await self._understood(operation, request, message, RetryPolicy(), call.deadline_ns)

    async def start_job(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        """The job that `request` starts, as the owner of the process; it waits in the queue for its turn."""
        from soundstage.core.jobs import StartedJob

        started = await self._invoke_with(operation, request, options)
        return StartedJob(self, started.job_id, operation.reply)

    async def upload(
        self, operation: UploadOperation[..., Any], request: Any, source: Source, options: CallOptions
    ) -> Any:
        """The reply to `request` with the bytes of `source`, as the owner of the process."""
        bound = self.operation(operation.system, operation.name)
        if not isinstance(bound, BoundUpload):
            raise InvalidArgument(f"{operation.path} is no upload", hint="call it")
        supply = await supply_of(source)
        reader = Reader(supply)
        with reader.blamed():
            async with aclosing(reader.chunks()) as chunks:
                return await bound.upload(self._call(options), bound.read(request), Body(chunks, supply.size))

    @asynccontextmanager
    async def download(
        self, operation: DownloadOperation[..., Any], request: Any, options: CallOptions
    ) -> AsyncGenerator[Content[Any]]:
        """What `request` names, to be read within the block, as the owner of the process."""
        bound = self.operation(operation.system, operation.name)
        if not isinstance(bound, BoundDownload):
            raise InvalidArgument(f"{operation.path} is no download", hint="call it")
        async with bound.open(self._call(options), bound.read(request)) as content:
            yield content

    async def dispatch(self, system: str, operation: str, call: Call, request: Any) -> Any:
        """The reply to `request` on behalf of `call.principal`: the way of every surface."""
        return await self.operation(system, operation).run(call, request)

    def operation(self, system: str, name: str) -> BoundOperation:
        """One operation as this stage runs it. Raises `NotFound` with the nearest name, at any time."""
        parts = self._running()
        bound = parts.bound.get((system, name))
        if bound is not None:
            return bound
        declared = parts.systems.operations(system)
        if name in declared:
            return parts.bind(declared[name])
        close = nearest(name, declared)
        hint = f"did you mean {close!r}?" if close else f"operations are {', '.join(declared)}"
        raise NotFound(f"the system {system!r} has no operation {name!r}", hint=hint)

    def operations(self) -> dict[tuple[str, str], BoundOperation]:
        """Every operation of every system; loads the messages of all of them."""
        parts = self._running()
        return {
            (system, name): parts.bind(operation)
            for system in parts.systems.catalogue
            for name, operation in parts.systems.operations(system).items()
        }

    def authenticate(self, authorization: str | None) -> Principal:
        """Who sent the header `Authorization`. Raises `Unauthenticated`; without authentication, the owner."""
        if self.config.auth.mode == "none":
            return LOCAL
        if authorization is None or authorization[: len(BEARER)].lower() != BEARER:
            raise Unauthenticated(
                "this stage wants an access token",
                hint="send the header `Authorization: Bearer <token>`; the command line takes SOUNDSTAGE_TOKEN",
            )
        return self._running().tokens.recognise(authorization[len(BEARER) :].strip())

    def health(self) -> Health:
        """Whether calls are let in and served, and else why not; and the namespaces that are not."""
        closed = self._parts.admission.closed
        reasons = [] if closed is None else [closed]
        reasons += [each.failing for each in self._parts.background.rounds if each.failing]
        reasons += self._lost_engines()
        reasons += self._parts.doors.reasons()
        reasons += [reason for watched in self._parts.watched for reason in watched.reasons()]
        unserved = [str(each) for each in self._parts.registry.unserved.values()]
        return Health(not reasons, reasons, self._said_by_engines("warning"), unserved)

    def watch(self, watched: Watched) -> None:
        """Health and metrics tell of `watched` too, from now on."""
        self._parts.watched.append(watched)

    def _lost_engines(self) -> list[str]:
        return [f"an engine cannot be reached: {reason}" for reason in self._said_by_engines("lost")]

    def _said_by_engines(self, what: str) -> list[str]:
        """What engines that have the attribute `what` say there; most say None."""
        engines = [] if self._exit is None else self.engines.everything()
        said: list[str | None] = [getattr(engine, what, None) for engine in engines]
        return sorted({each for each in said if each is not None})

    def metrics_text(self) -> bytes:
        """The metrics in the text format of Prometheus."""
        from soundstage.runtime.metrics import metrics_text

        return metrics_text(self._parts)

    def described_metrics(self) -> list[DescribedMetric]:
        """What `metrics_text` holds, with kinds, labels and explanations."""
        from soundstage.runtime.metrics import described

        return described(self._running())

    async def run_background(self) -> None:
        """One round of everything that otherwise repeats by itself, for stages opened without it."""
        for each in self._running().background.rounds:
            await each.once()

    def _bind_local(self, operation: Operation[..., Any]) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        bound = self.operation(operation.system, operation.name)
        if bound.operation is not operation:
            raise InvalidArgument(
                f"{operation.path} is declared twice", hint="use the face that the system's package exports"
            )
        understand = self._understanding.of(operation)
        if understand is not None:
            run = bound.run_shown(understand)
        else:
            run = bound.run_local if operation.checks_types else bound.run_read
        self._local[operation] = run
        return run

    async def _with_a_turn(self, run: Callable[[Any], Coroutine[Any, Any, Any]], request: Any) -> Any:
        try:
            ended, found = begin(run(request))
        except Exception:
            await self.environment.sleep(0)
            raise
        if not ended:
            # One turn before, and it would miss those of its moment, with which a write shares a flush.
            return await found
        await self.environment.sleep(0)
        return found

    async def _invoke_with(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        bound = self.operation(operation.system, operation.name)
        call = self._call(options)
        request = bound.read(request)
        if options.retries:
            request = with_token(operation, request, self._parts.clock)
        policy = RetryPolicy(retries=options.retries or 0)
        if not options.retries or not repeatable(operation, request, options):
            reply = await bound.run(call, request)
        else:
            reply = await retrying(
                lambda: bound.run(call, request), policy, self._retries, self.environment, call.deadline_ns
            )
        return await self._understood(operation, request, reply, policy, call.deadline_ns)

    async def _understood(
        self, operation: Operation[..., Any], request: Any, message: Any, policy: RetryPolicy, deadline_ns: int | None
    ) -> Any:
        """What was answered, or a message of a feed, as its caller is to see it; what that needs is asked for."""
        understanding, resumption = self._understanding, Resumption(policy, self.environment)
        if not understanding.is_coded(operation, message):
            return message
        asked = understanding.understood_at_last(operation, request, message, resumption)
        if deadline_ns is None:
            return await asked
        return await self._parts.deadlines.keep(asked, deadline_ns, _unseen)

    def _call(self, options: CallOptions) -> Call:
        return Call(
            deadline_ns=None
            if options.deadline is None
            else self.environment.monotonic_ns() + round(options.deadline * 1e9),
            idempotency_key=options.idempotency_key,
            request_id=options.request_id or "",
        )

    def _running(self) -> Parts:
        if self._exit is None:
            raise Unavailable(
                "the stage is not running",
                hint="use it inside `async with`, or after `await stage.start()`",
                outcome="not_applied",
            )
        return self._parts


def _unseen() -> DeadlineExceeded:
    return DeadlineExceeded(
        "the deadline passed before what was answered could be shown",
        hint="allow more time",
        outcome="not_applied",
        retryable=True,
    )
