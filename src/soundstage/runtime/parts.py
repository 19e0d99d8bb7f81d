"""Assembles a stage: which part needs which, and so in which order they start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from soundstage.core.environment import Environment
from soundstage.core.hlc import TokenClock
from soundstage.core.ids import uuid4_hex
from soundstage.core.namespace import NamespaceInfo
from soundstage.core.operation import Invoker, Operation
from soundstage.core.pages import PageTokens
from soundstage.core.system import System
from soundstage.core.time import Duration
from soundstage.engines.blobs.port import Blobs
from soundstage.engines.records.port import Records
from soundstage.engines.tables.port import TableUpkeep
from soundstage.runtime.admission import Admission
from soundstage.runtime.background import Background, Round
from soundstage.runtime.compute import Compute
from soundstage.runtime.config import StageConfig
from soundstage.runtime.control.applied import Applied
from soundstage.runtime.control.changes import NamespaceControl
from soundstage.runtime.control.declaration import Declarations
from soundstage.runtime.control.follower import NamespaceFollower
from soundstage.runtime.control.registry import Registry
from soundstage.runtime.control.store import NamespaceStore
from soundstage.runtime.control.tables import Tables
from soundstage.runtime.control.truncating import NamespaceTruncations
from soundstage.runtime.control.vacancy import Vacancy
from soundstage.runtime.copies import Reach
from soundstage.runtime.credentials import TokenStore
from soundstage.runtime.deadlines import Deadlines
from soundstage.runtime.dispatch import BoundOperation, Interceptors
from soundstage.runtime.doors import Doors
from soundstage.runtime.engines import Engines
from soundstage.runtime.files import Files
from soundstage.runtime.following import BoundFeed, BoundWait, Followers
from soundstage.runtime.health import Watched
from soundstage.runtime.leases import Leases
from soundstage.runtime.loop_lag import LoopLag
from soundstage.runtime.repetition import Repetitions
from soundstage.runtime.role_runner import RoleRunner
from soundstage.runtime.roles import CONTROL, DOORS, HTTP, TABLES, Role, RoleContext, check_roles
from soundstage.runtime.schedule import Schedule, Timed
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.signing_keys import SigningKeys
from soundstage.runtime.streaming import BoundDownload, BoundUpload, Streams
from soundstage.runtime.sweeper import LogSweeper, Sweeper
from soundstage.runtime.system_table import SystemTable
from soundstage.runtime.systems import Systems
from soundstage.runtime.timetable import Every
from soundstage.runtime.traces import Tracer
from soundstage.runtime.transfer.reach import Administered as NamespacesAdministered
from soundstage.runtime.upkeep import Upkeep, follow
from soundstage.runtime.work.control import JobControl
from soundstage.runtime.work.outputs import JobFiles
from soundstage.runtime.work.places import Places
from soundstage.runtime.work.runner import Administered, JobRunner
from soundstage.runtime.work.starter import Starters
from soundstage.runtime.work.starting import BoundJob
from soundstage.runtime.work.store import MARKERS_KEPT_US, JobStore

KEYS_INTERVAL_S = 10.0

UNRECORDED = frozenset({"tokens/create"})
"""Operations whose replies hold a secret."""

DRAIN_STEP_S = 0.005

OTHERS_POLLS = 2
"""Intervals after which every other process has heard that a namespace is served no more."""

BLOBS_PER_STEP = 100
"""Expired blobs removed before others get their turn."""

EXPIRED_INTERVAL = Duration(60_000_000_000)
"""How often expired blobs are removed, once for all processes of the stage."""


class Parts:
    """The parts of one stage. Those that need an engine exist once `start` has reached them."""

    def __init__(
        self,
        config: StageConfig,
        environment: Environment,
        systems: Sequence[System],
        background: bool,
        given: Mapping[str, Records | Blobs],
        invoker: Invoker,
    ) -> None:
        self.config = config
        self.environment = environment
        self.clock: TokenClock = TokenClock(environment)
        self.admission: Admission = Admission(config.admission, environment)
        self.followers: Followers = Followers(config.admission.followers)
        self.streams: Streams = Streams(config.admission.streams)
        self.registry: Registry = Registry(self.admission)
        self.background: Background = Background(environment)
        self.compute: Compute = Compute(config.compute, environment, config.control.drain_timeout / 1e9)
        self.systems: Systems = Systems(systems, self._context, config.systems)
        self.doors: Doors = Doors(config, self.systems, background)
        self.loop_lag: LoopLag = LoopLag(environment)
        self.sweepers: list[Sweeper] = []
        self.log_sweepers: list[LogSweeper] = []
        self.upkeeps: list[Upkeep] = []
        self.watched: list[Watched] = []
        self.bound: dict[tuple[str, str], BoundOperation] = {}
        self._runs_background = background
        self._given = given
        self._invoker = invoker

    async def start(self, exit: AsyncExitStack) -> None:
        """Everything is open; `exit` holds what must be undone, in order."""
        self.systems.check_knobs()
        self.doors.declared()
        self.engines: Engines = Engines(self.config.engines, self.config.data, self.environment, self._given)
        await self.engines.start()
        exit.push_async_callback(self.engines.stop)
        exit.push_async_callback(self.compute.stop)
        self.files: Files = self._open_files()
        await self._open_system_tables()
        exit.push_async_callback(self.systems.stop)
        await self._load_namespaces()
        self._interceptors = self._intercept()
        self._schedule()
        exit.push_async_callback(self.background.stop)
        self.admission.open()
        exit.push_async_callback(self._drain)
        exit.push_async_callback(self.doors.stop)

    def bind(self, operation: Operation[..., Any]) -> BoundOperation:
        """The operation as this stage runs it; the same object every time."""
        place = (operation.system, operation.name)
        bound = self.bound.get(place)
        if bound is None:
            if operation.kind == "feed":
                bound = BoundFeed(operation, self._interceptors, self.followers)
            elif operation.kind == "job":
                bound = BoundJob(operation, self._interceptors, self.jobs)
            elif operation.kind == "upload":
                bound = BoundUpload(operation, self._interceptors, self.streams)
            elif operation.kind == "download":
                bound = BoundDownload(operation, self._interceptors, self.streams)
            elif operation.waits:
                bound = BoundWait(operation, self._interceptors, self.followers)
            else:
                bound = BoundOperation(operation, self._interceptors)
            self.bound[place] = bound
        return bound

    async def _open_system_tables(self) -> None:
        control = self.config.control
        names = ("keys", "tokens", "repetitions", "namespaces", "jobs", "leases", "schedule")
        tables = {name: self._table(name) for name in names}
        for name, each in tables.items():
            await each.create(MARKERS_KEPT_US if name == "jobs" else None)
        self.keys: SigningKeys = SigningKeys(tables["keys"], self.environment, control.key_rotation // 1_000)
        self.page_tokens: PageTokens = await self.keys.load()
        self.tokens: TokenStore = TokenStore(tables["tokens"], self.environment, control.tokens_limit)
        await self.tokens.follow()
        self._repetitions = Repetitions(tables["repetitions"], self.clock, self.environment, UNRECORDED)
        self.leases: Leases = Leases(tables["leases"], self.environment, uuid4_hex(self.environment))
        lease_s = self.config.processes.lease / 1e9
        self.role_runner: RoleRunner = RoleRunner(tables["leases"], self.leases, self.environment, lease_s)
        self.schedule: Schedule = Schedule(tables["schedule"], self.leases, self.environment)
        self._open_jobs(tables["jobs"])
        self._store = NamespaceStore(tables["namespaces"], control.history_limit, control.history_ttl // 1_000)

    def _table(self, name: str) -> SystemTable:
        """A table of the stage's own records, which may have to be created yet."""
        engine = self.engines.get(self.config.control.engine, "control.engine")
        return SystemTable(engine, name, self.clock, self.environment)

    async def _stored(self, name: str) -> NamespaceInfo | None:
        """A namespace as it is stored at this moment, whatever its state; None where there is none of the name."""
        found = await self.namespaces.store.find(name)
        return None if found is None else found.stored.info

    def _open_files(self) -> Files:
        config = self.config.files
        return Files(self.engines.blobs(config.engine, "files.engine"), config, self.environment)

    def _open_jobs(self, table: SystemTable) -> None:
        config = self.config.jobs
        store = JobStore(table, self.environment, config.history_ttl // 1_000)
        # A day more than the history of a job that ends when its files are written.
        kept = JobFiles(self.files, config.history_ttl // 1_000 + 86_400_000_000)
        places = Places(table, store, config, self.environment)
        self.jobs: JobControl = JobControl(store, places, self.leases, config, kept, self.environment)
        self.job_runner: JobRunner = JobRunner(
            self.jobs, self.leases, self.systems, Starters(self.tokens.granted, self.tokens.follow), self.environment
        )

    async def _load_namespaces(self) -> None:
        declarations = Declarations(self.systems, self.engines, self.config.defaults)
        tables = Tables(self.environment)
        self._alone = not self.engines.is_shared(self.config.control.engine)
        processes, control = self.config.processes, self.config.control
        others = not self._alone or processes.workers or processes.shared
        others_s = OTHERS_POLLS * control.poll_interval / 1e9 if others else 0.0
        vacancy = Vacancy(self.admission, self.environment, others_s)
        self.namespaces: NamespaceControl = NamespaceControl(
            self._store,
            declarations,
            Applied(self.registry, declarations),
            tables,
            self.environment,
            control.namespaces_limit,
            vacancy,
        )
        self.truncations: NamespaceTruncations = NamespaceTruncations(self.namespaces, vacancy, self.environment)
        self.namespaces.busy = self.jobs.is_busy
        self.follower: NamespaceFollower = NamespaceFollower(self.namespaces, declarations, tables, self.environment)
        await self.follower.load(self.config.namespaces, alone=self._alone)
        for abstraction in {info.abstraction for info in self.registry.infos.values()}:
            await self.systems.started(abstraction)

    def _intercept(self) -> Interceptors:
        self.deadlines: Deadlines = Deadlines(self.environment)
        telemetry = self.config.telemetry
        return Interceptors(
            environment=self.environment,
            systems=self.systems,
            admission=self.admission,
            deadlines=self.deadlines,
            repetitions=self._repetitions,
            tracer=Tracer() if telemetry.traces else None,
            log_calls=telemetry.log_calls,
            look=None if self._alone else self.follower.look,
        )

    def _schedule(self) -> None:
        """Everything that repeats is known to `background`, and done by this process's roles unless told otherwise."""
        self.background.run("deadlines", self.deadlines.run())
        if self.config.auth.mode != "none":
            self.background.run("followers", self.followers.watch(self.tokens.check, self.environment))
        roles = [("", role) for role in self._own_roles()] + self.systems.roles()
        processes = self.config.processes
        known = {HTTP, DOORS, *(role.name for _, role in roles)}
        check_roles(processes.roles or (), known, "processes.roles")
        check_roles(processes.workers, known - {CONTROL, DOORS, TABLES}, "processes.workers")
        if self._runs_background:
            self.background.run("loop lag", self.loop_lag.run())
            for system, role in roles:
                if processes.runs(role.name):
                    self.background.play(role.name, self._play(system, role))

    def _own_roles(self) -> list[Role]:
        """The roles of the stage itself."""
        control, sweeper, add = self.config.control, self.config.sweeper, self.background.add
        followed = [
            add("namespace poller", control.poll_interval / 1e9, self._poll),
            add("signing keys", KEYS_INTERVAL_S, self.keys.turn),
        ]
        sweeps: dict[str, Round] = {}
        for name, engine in self.engines.distinct().items():
            self.sweepers.append(Sweeper(name, engine, sweeper, self.environment))
            if sweeper.enabled:
                sweeps[name] = add(f"sweeper of {name}", sweeper.interval / 1e9, self.sweepers[-1].round)
        for name, log in self.engines.distinct_logs().items():
            self.log_sweepers.append(LogSweeper(name, log, sweeper, self.environment))
            if sweeper.enabled:
                round_of_log = self.log_sweepers[-1].round
                sweeps[f"{name} log"] = add(f"sweeper of the log {name}", sweeper.interval / 1e9, round_of_log)
        self.upkeeps += [
            Upkeep(name, tables, self.config.tables, self.environment)
            for name, tables in self.engines.distinct_tables().items()
            if isinstance(tables, TableUpkeep)
        ]
        expired = [
            add(f"expired blobs of {name}", EXPIRED_INTERVAL.seconds, partial(_sweep_blobs, blobs))
            for name, blobs in self.engines.distinct_blobs().items()
        ]

        async def forget_expired() -> None:
            for each in expired:
                await each.once()

        timed = Timed("expired blobs", Every(EXPIRED_INTERVAL), forget_expired, jitter_s=5.0)
        return [
            Role(name=CONTROL, run=lambda _: self.background.repeat(followed)),
            Role(name="jobs", run=lambda _: self.job_runner.run()),
            Role(
                name="sweeper",
                run=lambda context: self.background.repeat([sweeps[context.partition]]),
                kind="partitioned",
                partitions=tuple(sweeps),
            ),
            Role(name="files", run=lambda _: self.schedule.follow(timed)),
            Role(name=TABLES, run=lambda _: follow(self.upkeeps, self.schedule, self.config.tables)),
        ]

    async def _play(self, system: str, role: Role) -> None:
        service = await self.systems.started(system) if system and role.needs == "ports" else None
        context = RoleContext(environment=self.environment, invoker=self._invoker, service=service)
        await self.role_runner.run(role, context)

    async def _poll(self) -> None:
        await self.follower.follow()
        await self.tokens.follow()

    def _context(self, name: str, config: Any) -> ServiceContext:
        jobs = Administered(self.jobs, self.job_runner, self.systems)
        namespaces = NamespacesAdministered(
            self.namespaces, self.files, self.systems, self.engines, self.config.defaults.engines
        )
        backups = Reach(self.engines, self.config.data, self.jobs.is_busy)
        administers: dict[str, Any] = {
            "namespaces": namespaces,
            "tokens": self.tokens,
            "jobs": jobs,
            "backups": backups,
        }
        return ServiceContext(
            environment=self.environment,
            clock=self.clock,
            page_tokens=self.page_tokens,
            namespaces=self.registry.of(name),
            compute=self.compute,
            files=self.files,
            leases=self.leases,
            schedule=self.schedule,
            logs=self.engines,
            caches=self.engines,
            searches=self.engines,
            blobs=self.engines,
            table=self._table,
            used=self.systems.started,
            stored=self._stored,
            truncations=self.truncations,
            config=config,
            administers=administers.get(name),
        )

    async def _drain(self) -> None:
        """No call is let in any more, and those under way have ended or used up their time."""
        self.admission.close("the stage is stopping")
        self.followers.close("the stage is stopping")
        deadline_ns = self.environment.monotonic_ns() + self.config.control.drain_timeout
        while (self.admission.in_flight or self.followers.count) and self.environment.monotonic_ns() < deadline_ns:
            await self.environment.sleep(DRAIN_STEP_S)


async def _sweep_blobs(blobs: Blobs) -> None:
    while await blobs.sweep(BLOBS_PER_STEP) == BLOBS_PER_STEP:
        pass
