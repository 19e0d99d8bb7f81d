"""Keeps the index of a namespace as its slices are.

Documents come from the feed: of each event that it tells of, what the slices have. An index that is missing, or is not
by the knobs, or is asked for anew, is filled from a walk over the slices beside the one that serves, told of the same
feed, and then takes its place. One process at a time does it, and one thing after the other, so that no document is
replaced by an older one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from soundstage.core import version
from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, InvalidArgument, NotFound, PreconditionFailed
from soundstage.core.time import NS_PER_S
from soundstage.data.timeseries import placement
from soundstage.data.timeseries.events import EventKey
from soundstage.data.timeseries.feed import Feed, keys_of
from soundstage.data.timeseries.index.events import events_of
from soundstage.data.timeseries.index.fields import Fields
from soundstage.data.timeseries.index.queries import strays
from soundstage.data.timeseries.index.searching import ENGINE_KNOB, alias_of
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.slices import Slice
from soundstage.engines.log.port import Commit, Groups, Log, LogPage, Position
from soundstage.engines.records.port import Budget, Row
from soundstage.engines.search.port import DELETE_MAX, Action, Delete, Put, Search, Status
from soundstage.runtime.service import Searches

log: logging.Logger = logging.getLogger("soundstage.timeseries")

PARTITION = "index"
NUMBER = "number"
"""The row that counts how often an index was asked for anew."""

FOLLOWED = "followed"
"""The row that says what an index was told of."""

FEED_ENTRIES = 64
FEED_BYTES = 1 << 20
WALK = Budget(rows=4_000, bytes=2 << 20)
BULK_ACTIONS = 4_000
"""Engines make durable what comes at once: a tenth as many calls is nearly a tenth of the time."""

YIELD_EVERY = 32
"""Documents made between two turns of others."""

BULK_BYTES = 2 << 20

LOOK_NS = 5 * NS_PER_S
"""How long an index is taken to be there without a look."""

SETTLED_NS = 5 * NS_PER_S
"""After a change of the namespace: every process tells of its writes by then."""


class Followed(msgspec.Struct, frozen=True, array_like=True):
    """By which topic, and up to which version of the namespace, an index was told of everything."""

    topic: str
    version: int

    def misses(self, later: Followed) -> bool:
        """Whether there may have been a version without an index, or with another, between this and `later`."""
        return self.topic != later.topic or later.version > self.version + 1


class _Build:
    """An index that is being filled: the slices that are to be walked yet, and how far the first was."""

    def __init__(self, name: str, slices: Sequence[Slice], position: bytes | None = None) -> None:
        self.name = name
        self.left = list(slices)
        self.position = position


class Indexer:
    """Works on one namespace of one generation. `indexed` and `unfit` grow from the start of the process on."""

    def __init__(self, serve: Callable[[], ServedNamespace], searches: Searches, environment: Environment) -> None:
        self._serve = serve
        self._searches = searches
        self._environment = environment
        self._at: tuple[Log, str, Search, str] | None = None
        self._offset: int | None = None
        self._committed: int | None = None
        self._missed = False
        self._build: _Build | None = None
        self._served_by: str | None = None
        self._served_fields: frozenset[str] = frozenset()
        self._looked_ns: int | None = None
        self._swept: tuple[tuple[int, int], ...] | None = None
        self.indexed: int = 0
        self.unfit: int = 0
        self.waiting_since_us: int | None = None
        """When the first event was written of which the index is not known to have been told; None: there is none."""

    @property
    def is_building(self) -> bool:
        """Whether an index is being filled."""
        return self._build is not None

    async def round(self, check: Callable[[], None]) -> bool:
        """A part of what there is to do was done; whether there is more. Raises what an engine raises."""
        served = self._serve()
        assert served.feed is not None
        assert served.config.index is not None
        feed, page = await self._read(served.feed)
        self.waiting_since_us = page.entries[0].time_us if page.entries else None
        engine = self._searches.search(served.config.index.engine, ENGINE_KNOB)
        self._at = feed, served.feed.topic, engine, alias_of(served.feed.digest)
        fields = Fields(served.config.index.fields)
        await served.catalogue.refresh()
        if self._missed:
            self._looked_ns = None
        check()
        await self._look(served, feed, engine, fields)
        check()
        try:
            keys = list(dict.fromkeys(key for entry in page.entries for key in keys_of(entry.value)))
            targets = [name for name in (self._served_by, None if self._build is None else self._build.name) if name]
            await self._put(served, engine, fields, targets, keys, check)
            check()
            await self._fill(served, engine, fields, check)
            await self._sweep(served, engine, check)
        except NotFound:
            # Somebody dropped an index.
            self._looked_ns, self._build, self._served_by = None, None, None
            return True
        await self._commit(served, feed, page.next)
        if page.next >= page.end:
            self.waiting_since_us = None
        return self._missed or self._build is not None or page.next < page.end

    def rest(self) -> None:
        """Others may work on it from now on: this process knows nothing of it any more, and looks when it goes on."""
        self._offset, self._committed, self._missed = None, None, False
        self._build, self._served_by, self._looked_ns, self._swept = None, None, None, None
        self.waiting_since_us = None

    async def drop(self) -> None:
        """What this process worked on is gone: its indexes, and the topic of its feed. To repeat it is safe."""
        if self._at is None:
            return
        feed, topic, engine, alias = self._at
        for each in await engine.indexes():
            if each.spec.name.startswith(f"{alias}-"):
                await engine.drop_index(each.spec.name)
        await feed.drop_topic(topic)
        self._at = None

    async def _read(self, feed: Feed) -> tuple[Log, LogPage]:
        """The log, and what comes next in the feed; whether anything went before that was not read is noted."""
        opened = await feed.open()
        try:
            page = await opened.read(feed.topic, 0, await self._begin(opened, feed.topic), FEED_ENTRIES, FEED_BYTES)
        except (InvalidArgument, NotFound):
            # Somebody dropped the topic, and another of its name begins.
            opened = await feed.open(again=True)
            (bounds,) = await opened.bounds(feed.topic)
            self._offset, self._committed, self._missed = bounds.start, None, True
            page = await opened.read(feed.topic, 0, bounds.start, FEED_ENTRIES, FEED_BYTES)
        if page.start > (self._offset or 0):
            self._offset, self._missed = page.start, True
        return opened, page

    async def _begin(self, feed: Log, topic: str) -> int:
        """Where the feed goes on. One of which nobody knows how far it was read may have been read by nobody."""
        if self._offset is None:
            found = await feed.committed(topic, topic) if isinstance(feed, Groups) else {}
            (bounds,) = await feed.bounds(topic)
            self._committed = found.get(0)
            self._missed = self._committed is None
            self._offset = bounds.start if self._committed is None else self._committed
        return self._offset

    async def _commit(self, served: ServedNamespace, feed: Log, offset: int) -> None:
        assert served.feed is not None
        topic, self._offset = served.feed.topic, offset
        if offset == self._committed or not isinstance(feed, Groups) or await self._is_another(feed, topic):
            return
        await feed.commit(Commit(group=topic, positions=[Position(topic, 0, offset)]))
        self._committed = offset

    async def _is_another(self, feed: Log, topic: str) -> bool:
        """Whether the topic is not the one that was read from: a position goes with its topic. Told once, and noted."""
        if self._committed is None or not isinstance(feed, Groups) or await feed.committed(topic, topic):
            return False
        self._committed, self._missed = None, True
        return True

    async def _look(self, served: ServedNamespace, feed: Log, engine: Search, fields: Fields) -> None:
        """Which index serves is known, and that one is being filled that is to serve and does not."""
        now_ns = self._environment.monotonic_ns()
        if self._looked_ns is not None and now_ns - self._looked_ns < LOOK_NS:
            return
        assert served.feed is not None
        alias, prefix = alias_of(served.feed.digest), f"{alias_of(served.feed.digest)}-"
        own = {each.spec.name: each for each in await engine.indexes() if each.spec.name.startswith(prefix)}
        serving = next((each.spec for each in own.values() if alias in each.aliases), None)
        self._served_by = None if serving is None else serving.name
        self._served_fields = frozenset() if serving is None else frozenset(serving.fields)
        await self._follow(served, feed)
        wanted = f"{prefix}{fields.digest}-{await number_of(served)}"
        filling = None if self._build is None else self._build.name
        if wanted == self._served_by:
            self._build = None
        elif filling != wanted or filling not in own:
            if not self._is_settled(served):
                return
            # What an earlier process began is not known to be whole, nor is what this one did, once it is dropped.
            self._build = None
            await engine.drop_index(wanted)
            await engine.create_index(fields.spec(wanted))
            self._build = _Build(wanted, served.catalogue.slices)
        for name in own:
            if name not in (wanted, self._served_by):
                await engine.drop_index(name)
        self._looked_ns = now_ns

    async def _follow(self, served: ServedNamespace, feed: Log) -> None:
        """An index that may not have been told of something is asked for anew, and what it was told of is noted."""
        assert served.feed is not None
        await self._is_another(feed, served.feed.topic)
        now = Followed(served.feed.topic, served.view.version)
        entry = await served.table.get(PARTITION, FOLLOWED)
        before = None if entry is None else msgspec.msgpack.decode(entry.value, type=Followed)
        missed = self._missed or (before is not None and before.misses(now))
        if missed and (self._served_by is not None or self._build is not None):
            log.warning("an index was not told of everything: it is made anew", extra={"namespace": served.name})
            await rebuild(served)
        self._missed = False
        if before is None or before.topic != now.topic or before.version < now.version:
            stamp = None if entry is None else entry.stamp
            rows: dict[str, bytes | None] = {FOLLOWED: msgspec.msgpack.encode(now)}
            await served.table.write(PARTITION, rows, {FOLLOWED: stamp}, onward=True)

    def _is_settled(self, served: ServedNamespace) -> bool:
        view = served.view
        return view.version == 1 or self._environment.now_ns() - view.updated_at >= SETTLED_NS

    async def _fill(self, served: ServedNamespace, engine: Search, fields: Fields, check: Callable[[], None]) -> None:
        """The next page of the walk is in the index that is being filled; behind the last it takes its place."""
        build = self._build
        if build is None:
            return
        keys, ahead = dict[EventKey, None](), _Build(build.name, build.left, build.position)
        while ahead.left and len(keys) < BULK_ACTIONS:
            await self._walk(served, ahead, keys)
        if keys:
            await self._put(served, engine, fields, [build.name], list(keys), check)
        # It has come so far only now: what could not be put is walked again.
        build.left, build.position = ahead.left, ahead.position
        if build.left:
            return
        assert served.feed is not None
        await engine.refresh(build.name)
        await engine.point(alias_of(served.feed.digest), build.name)
        before, self._served_by, self._build = self._served_by, build.name, None
        self._served_fields = frozenset(fields.spec(build.name).fields)
        # A slice may have been dropped after it was walked.
        self._swept = None
        if before is not None:
            await engine.drop_index(before)

    async def _walk(self, served: ServedNamespace, build: _Build, keys: dict[EventKey, None]) -> None:
        """`keys` has those of another page of the walk."""
        try:
            page = await served.records.walk(
                build.left[0].table, 0, 1, build.position, WALK, self._environment.now_us()
            )
        except NotFound:
            # Dropped meanwhile, or not made yet, and then told of by the feed.
            build.left, build.position = build.left[1:], None
            return
        for partition, rows in page.partitions:
            keys.update(dict.fromkeys(_keys(partition, rows)))
            await self._environment.sleep(0)
        build.position = page.position
        if page.position is None:
            build.left = build.left[1:]

    async def _put(
        self,
        served: ServedNamespace,
        engine: Search,
        fields: Fields,
        targets: Sequence[str],
        keys: Sequence[EventKey],
        check: Callable[[], None],
    ) -> None:
        """The documents of the events of these keys are in `targets` as the slices have them."""
        for at in range(0, len(keys), BULK_ACTIONS):
            some = keys[at : at + BULK_ACTIONS]
            found = await events_of(served, some, self._environment.now_ns(), closed=True)
            actions: list[Action] = []
            for number, (key, event) in enumerate(zip(some, found, strict=True), 1):
                if number % YIELD_EVERY == 0:
                    await self._environment.sleep(0)
                if event is None:
                    actions.append(Delete(key.document_id))
                    continue
                document, unfit = fields.document(event)
                self.unfit += unfit
                self.indexed += 1
                actions.append(Put(key.document_id, document))
            for target in targets:
                # Whoever has the role by then may have written newer ones.
                check()
                # One that is made for other fields serves until then, and takes none that it has not.
                await _bulk(engine, target, self._fitting(actions) if target == self._served_by else actions)

    def _fitting(self, actions: Sequence[Action]) -> Sequence[Action]:
        """As the index that serves can have them."""
        known = self._served_fields
        return [
            Put(each.id, {name: value for name, value in each.fields.items() if name in known})
            if isinstance(each, Put) and not each.fields.keys() <= known
            else each
            for each in actions
        ]

    async def _sweep(self, served: ServedNamespace, engine: Search, check: Callable[[], None]) -> None:
        """No document is left of a time of which there is no slice."""
        slices = served.catalogue.slices
        spans = tuple((each.start, each.end) for each in slices)
        gone = self._swept is None or not set(self._swept) <= set(spans)
        if self._served_by is None or not gone:
            return
        left = DELETE_MAX
        while left >= DELETE_MAX:
            # Whoever has the role by then may have written of slices that are not known here.
            check()
            left = await engine.delete_where(self._served_by, strays(slices))
        self._swept = spans


async def number_of(served: ServedNamespace) -> int:
    """Which index is to serve, of all that there were."""
    entry = await served.table.get(PARTITION, NUMBER)
    return 0 if entry is None else msgspec.msgpack.decode(entry.value, type=int)


async def rebuild(served: ServedNamespace) -> int:
    """Another index is to serve; its number."""
    entry = await served.table.get(PARTITION, NUMBER)
    number = 1 + (0 if entry is None else msgspec.msgpack.decode(entry.value, type=int))
    stamp = None if entry is None else entry.stamp
    try:
        await served.table.write(PARTITION, {NUMBER: msgspec.msgpack.encode(number)}, {NUMBER: stamp}, onward=True)
    except PreconditionFailed:
        # Somebody else asked for it at the same time.
        return await number_of(served)
    return number


async def _bulk(engine: Search, target: str, actions: Sequence[Action]) -> None:
    part: list[Action] = []
    size = 0
    for action in actions:
        weight = len(msgspec.json.encode(action.fields)) if isinstance(action, Put) else 64
        if part and size + weight > BULK_BYTES:
            await _send(engine, target, part)
            part, size = [], 0
        part.append(action)
        size += weight
    if part:
        await _send(engine, target, part)


async def _send(engine: Search, target: str, part: Sequence[Action]) -> None:
    rejected = [each for each in await engine.bulk(target, part) if each.status is Status.REJECTED]
    if rejected:
        raise Exhausted(f"the search engine had no room for {len(rejected)} documents: {rejected[0].reason}")


def _keys(partition: bytes, rows: Sequence[Row]) -> list[EventKey]:
    found, prefix = list[EventKey](), b"\0"
    for key, cell in rows:
        if key.startswith(prefix) and found:
            continue
        prefix = placement.prefix_of(key)
        series = placement.series_of(partition, version.split(cell).metadata)
        time_ns, event_id = placement.event_of(prefix)
        found.append(EventKey(series.decode(), time_ns, event_id.decode()))
    return found
