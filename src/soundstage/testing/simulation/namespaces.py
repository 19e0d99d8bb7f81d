"""The control plane under simulation: clients that create, change and delete namespaces under faults and restarts.

A namespace is judged as one object with a version and a value, which is a knob that every put sets to something new.
Readers are answered from what their process has applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from random import Random
from typing import Literal, NamedTuple, TypeAlias, get_args

from soundstage.core.call import CallOptions
from soundstage.core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    Exhausted,
    InProgress,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    Unavailable,
)
from soundstage.core.namespace import NamespaceInfo
from soundstage.runtime.namespaces.api import (
    NamespaceEvent,
    Namespaces,
    NamespacesCalls,
    NamespaceSpec,
    WatchNamespaces,
)
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Divergence, Play, Scenario, Site, Step
from soundstage.testing.simulation.viewed import Viewed, undisturbed_round

Act: TypeAlias = Literal[
    "put",
    "put_new",
    "put_next",
    "put_same",
    "put_late",
    "delete",
    "delete_known",
    "get",
    "list",
    "history",
    "repeat",
    "poll",
    "watch",
]
_WEIGHTS = (14, 6, 14, 4, 4, 5, 7, 22, 8, 4, 4, 8, 5)

NAMES = ("one", "other", "third")
WATCHED_S = 0.2
ABANDONED_S = 61.0
"""After so long whoever finds a namespace half-way clears it away."""


class NamespaceStep(Step, frozen=True, kw_only=True, tag="namespaces"):
    """One call about the namespace `name`; `choice` is how far off a late version is."""

    act: Act
    name: str
    choice: int = 0


class Put(NamedTuple):
    value: int
    expected: int | None


class Delete(NamedTuple):
    expected: int | None


class Look(NamedTuple):
    """What the namespace is, and no change."""


Request: TypeAlias = Put | Delete | Look
State: TypeAlias = tuple[int, int] | None
"""Version and value; None: there is no namespace of that name. `HALF_WAY` for a value: it is being deleted."""

HALF_WAY = -1
"""A deletion that nobody heard the end of: the namespace is gone, and a repetition may be told that it deleted it."""

Answer: TypeAlias = str | tuple[str, int] | tuple[str, int, int]


def model(state: State, request: Request) -> Iterable[tuple[State, Answer]]:
    """What `namespaces` promises of one name."""
    if state is not None and state[1] == HALF_WAY:
        return _half_way(state, request)
    if isinstance(request, Put):
        return [_put(state, request)]
    if state is None:
        return [(None, "not_found")]
    version, value = state
    if isinstance(request, Look):
        return [(state, ("at", version, value))]
    if request.expected not in (None, version):
        return [(state, "other_version")]
    return [(None, ("deleted", version)), ((version, HALF_WAY), "half_way")]


def _half_way(state: tuple[int, int], request: Request) -> Iterable[tuple[State, Answer]]:
    if isinstance(request, Put):
        return [_put(None, request)]
    if isinstance(request, Delete) and request.expected in (None, state[0]):
        return [(state, "not_found"), (None, ("deleted", state[0]))]
    return [(state, "not_found"), (state, "other_version")]


def _put(state: State, request: Put) -> tuple[State, Answer]:
    value, expected = request
    if state is None:
        return ((1, value), ("at", 1, value)) if expected in (None, 0) else (None, "other_version")
    version, held = state
    if held == value and expected in (None, version, version - 1):
        return state, ("at", version, value)
    if expected == 0:
        return state, "exists"
    if expected not in (None, version):
        return state, "other_version"
    return (version + 1, value), ("at", version + 1, value)


class _Name:
    """One name. `known` is what its clients saw last, `made` what they made, by generation and version."""

    def __init__(self) -> None:
        self.judge: Viewed[State, Request, Answer] = Viewed(None, model, Look())
        self.known: State = None
        self.made: dict[tuple[int, int], int] = {}


class NamespacesPlay:
    """Judges each answer about each name."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._names = {name: _Name() for name in NAMES}
        self._repeatable: dict[str, tuple[str, int, NamespaceInfo]] = {}
        self._changes = 0
        self._cursors: dict[int, int] = {}
        self._told: dict[int, tuple[str, int, int]] = {}

    async def prepare(self) -> None:
        """A stage has its control plane from the start."""

    async def play(self, step: NamespaceStep) -> None:
        name = self._names[step.name]
        known = name.known
        version = 0 if known is None else known[0]
        match step.act:
            case "put":
                await self._put(step, Put(step.number, None))
            case "put_new":
                await self._put(step, Put(step.number, 0))
            case "put_next":
                await self._put(step, Put(step.number, version))
            case "put_same":
                await self._put(step, Put(step.number if known is None else known[1], None))
            case "put_late":
                await self._put(step, Put(step.number, max(0, version - 1 - step.choice)))
            case "delete":
                await self._delete(step, Delete(None))
            case "delete_known":
                await self._delete(step, Delete(version or None))
            case "get":
                await self._get(step)
            case "list":
                await self._list(step)
            case "history":
                await self._history(step)
            case "repeat":
                await self._repeat(step)
            case "poll":
                await self._poll()
            case "watch":
                await self._watch(step)

    async def settle(self) -> None:
        """What was left half-way is cleared away, and everything is as its history says."""
        for _ in range(2):
            await self._site.environment.sleep(ABANDONED_S)
            await self._poll()
        for number, name in enumerate(NAMES):
            last = NamespaceStep(number=-number, client=0, act="get", name=name)
            await self._get(last)
            await self._history(last)
        await self._watch(NamespaceStep(number=-1, client=0, act="watch", name=NAMES[0]))
        told = set(self._told.values())
        made = {(which, *place) for which, name in self._names.items() for place in name.made}
        if made - told:
            raise Divergence(f"the feed of changes never told of {sorted(made - told)}")

    # -- changes

    async def _put(self, step: NamespaceStep, request: Put) -> None:
        key = f"{step.number}"
        spec = NamespaceSpec(name=step.name, abstraction="kv", config={"count_limit": 1_000 + request.value})
        client = self._client(step, key)
        name = self._names[step.name]
        number = name.judge.begin(request)
        self._changes += 1
        try:
            info = await client.put(namespace=spec, expected_version=request.expected)
        except SoundstageError as error:
            await self._failed(step, number, error, key)
            return
        name.judge.end(number, ("at", info.version, _value(info)))
        name.known = info.version, _value(info)
        name.made[info.generation, info.version] = _value(info)
        self._repeatable[step.name] = key, request.expected if request.expected is not None else -1, info
        self._site.note("changed" if info.version > 1 else "created")

    async def _delete(self, step: NamespaceStep, request: Delete) -> None:
        key, name = f"{step.number}", self._names[step.name]
        number = name.judge.begin(request)
        self._changes += 1
        try:
            gone = await self._client(step, key).delete(name=step.name, expected_version=request.expected)
        except SoundstageError as error:
            await self._failed(step, number, error, key)
            return
        name.judge.end(number, ("deleted", gone.version))
        name.known = None
        self._site.note("deleted")

    async def _failed(self, step: NamespaceStep, number: int, error: SoundstageError, key: str) -> None:
        """A change was refused, or nobody knows."""
        passage, name = self._site.network.passage(key), self._names[step.name]
        while passage.under_way:
            await self._site.environment.sleep(0.05)
        if passage.uncertain:
            name.judge.lose(number)
            self._site.note("uncertain")
        elif isinstance(error, InProgress | Unavailable | DeadlineExceeded | Exhausted):
            name.judge.refuse(number)
            self._site.note("half_way" if isinstance(error, InProgress) else "refused")
        else:
            name.judge.end(number, _answer_of(error))
            self._site.note("outdated")

    async def _repeat(self, step: NamespaceStep) -> None:
        """A put that was answered is sent again under its key: it is answered as it was, whatever has come since."""
        if step.name not in self._repeatable:
            return
        key, expected, info = self._repeatable[step.name]
        spec = NamespaceSpec(name=step.name, abstraction="kv", config={"count_limit": info.config["count_limit"]})
        try:
            again = await self._client(step, key).put(
                namespace=spec, expected_version=None if expected < 0 else expected
            )
        except (Unavailable, DeadlineExceeded, Exhausted, InProgress):
            return
        if again != info:
            raise Divergence(f"the repetition of {key} was answered with {again}, first with {info}")
        self._site.note("repeated")

    # -- reads

    async def _get(self, step: NamespaceStep) -> None:
        name = self._names[step.name]
        number, restarts = name.judge.look(), self._site.host.restarts
        try:
            info = await self._client(step).get(name=step.name)
            answer: Answer = ("at", info.version, _value(info))
        except NotFound:
            answer = "not_found"
        except (Unavailable, DeadlineExceeded, Exhausted):
            name.judge.refuse(number)
            return
        self._judge_view(step.name, number, answer, current=restarts == self._site.host.restarts)

    def _judge_view(self, which: str, number: int, answer: Answer, *, current: bool) -> None:
        name = self._names[which]
        state = None if isinstance(answer, str) else (int(answer[1]), int(answer[-1]))
        name.judge.show(number, answer, state, current=current)
        name.known = state or name.known

    async def _list(self, step: NamespaceStep) -> None:
        numbers = {which: name.judge.look() for which, name in self._names.items()}
        restarts = self._site.host.restarts
        try:
            reply = await self._client(step).list()
        except (Unavailable, DeadlineExceeded, Exhausted):
            for which, number in numbers.items():
                self._names[which].judge.refuse(number)
            return
        names = [info.name for info in reply.namespaces]
        if names != sorted(set(names)) or not set(names) <= set(NAMES):
            raise Divergence(f"the list of namespaces is {names}")
        shown = {info.name: info for info in reply.namespaces}
        for which, number in numbers.items():
            info = shown.get(which)
            answer: Answer = "not_found" if info is None else ("at", info.version, _value(info))
            self._judge_view(which, number, answer, current=restarts == self._site.host.restarts)

    async def _history(self, step: NamespaceStep) -> None:
        """Changes come newest first, and each that was acknowledged is among them."""
        made, seen = dict(self._names[step.name].made), dict[tuple[int, int], int]()
        places: list[tuple[int, int]] = []
        try:
            async for page in self._client(step).history.pages(name=step.name, page_size=7):
                for change in page.changes:
                    places.append((change.generation, change.version))
                    if change.action != "deleted":
                        seen[places[-1]] = _value(change.namespace)
        except (NotFound, Unavailable, DeadlineExceeded, Exhausted) as error:
            if isinstance(error, NotFound) and made:
                raise Divergence(f"{step.name} has no history, and was {made}") from error
            return
        if places != sorted(set(places), reverse=True):
            raise Divergence(f"the history of {step.name} has the places {places}")
        if lost := {place: value for place, value in made.items() if seen.get(place) != value}:
            raise Divergence(f"the history of {step.name} lacks {lost}: it is {seen}")

    async def _watch(self, step: NamespaceStep) -> None:
        """Goes on after what this client was told last: nothing is left out, and everybody is told the same."""
        cursor = self._cursors.get(step.client, 0)
        call = self._site.host.stage.follow if self._site.host.is_up else None
        if call is None:
            return
        request, options = WatchNamespaces(cursor=f"{cursor}"), CallOptions(deadline=WATCHED_S)
        try:
            async with aclosing(call(NamespacesCalls.watch, request, options)) as events:
                async for event in events:
                    cursor = self.tell(cursor, event)
                    self._site.note("followed")
        except (Unavailable, DeadlineExceeded, Exhausted):
            pass
        self._cursors[step.client] = cursor

    def tell(self, cursor: int, event: NamespaceEvent) -> int:
        """The cursor after `event`, which came behind `cursor`."""
        at, change = int(event.cursor), event.change
        if at != cursor + 1:
            raise Divergence(f"the feed of changes told of {at} after {cursor}")
        place = (change.namespace.name, change.generation, change.version if change.action != "deleted" else -at)
        if self._told.setdefault(at, place) != place:
            raise Divergence(f"the change {at} was told as {self._told[at]} and as {place}")
        return at

    async def _poll(self) -> None:
        """What a process does every second, undisturbed; it knows what is stored, if nobody changed it meanwhile."""
        if await undisturbed_round(self._site, lambda: self._changes):
            for name in self._names.values():
                name.judge.refresh()
            self._site.note("polled")

    def _client(self, step: NamespaceStep, key: str | None = None) -> Namespaces:
        client = self._site.client(step.client, Namespaces)
        return client.with_options(retries=0, idempotency_key=key)


def _value(info: NamespaceInfo) -> int:
    return info.config["count_limit"] - 1_000


def _answer_of(error: SoundstageError) -> Answer:
    if isinstance(error, AlreadyExists):
        return "exists"
    if isinstance(error, PreconditionFailed):
        return "other_version"
    if isinstance(error, NotFound):
        return "not_found"
    raise error


class NamespacesScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "namespaces"
    spared: frozenset[str] = SYSTEM_TABLES - {"system/namespaces", "system/repetitions"}
    situations: Mapping[str, float] = {
        "created": 0.01,
        "changed": 0.05,
        "deleted": 0.01,
        "outdated": 0.01,
        "uncertain": 0.001,
        "repeated": 0.01,
        "followed": 0.01,
    }

    def draw(self, random: Random, number: int, client: int) -> NamespaceStep:
        return NamespaceStep(
            number=number,
            client=client,
            pause_s=random.choice((0.0, 0.0, 0.001, 0.01)),
            act=random.choices(get_args(Act), _WEIGHTS)[0],
            name=random.choice(NAMES),
            choice=random.randrange(3),
        )

    def open(self, site: Site, random: Random) -> Play:
        return NamespacesPlay(site)


SCENARIO: Scenario = NamespacesScenario()
