"""Keeps the index of a namespace as its slices are.

Documents come from the feed: of each event that it tells of, what the slices have. An index that is missing, or is not
by the knobs, or is asked for anew, is filled from a walk over the slices beside the one that serves, told of the same
feed, and then takes its place. One process at a time does it; how far it is it notes, and another goes on from there.
What it asked an engine for may be done after it lost its turn: so documents are changed under conditions, and no index
has a name that another one had.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from soundstage.core.environment import Environment
from soundstage.core.errors import NotFound, PreconditionFailed
from soundstage.core.time import NS_PER_S
from soundstage.data.timeseries.feed import Feed, keys_of
from soundstage.data.timeseries.index.building import Build
from soundstage.data.timeseries.index.documents import Documents, Index
from soundstage.data.timeseries.index.fields import TIME, Fields
from soundstage.data.timeseries.index.following import Following
from soundstage.data.timeseries.index.notes import (
    Followed,
    follow,
    note_progress,
    number_of,
    progress_of,
    rebuild,
)
from soundstage.data.timeseries.index.queries import strays
from soundstage.data.timeseries.index.searching import ENGINE_KNOB, alias_of
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.engines.log.port import Log, LogPage
from soundstage.engines.search.port import Request, Search
from soundstage.engines.search.queries import Sort
from soundstage.runtime.service import Searches

LOOK_NS = 5 * NS_PER_S
"""How long an index is taken to be there without a look."""

SETTLED_NS = 5 * NS_PER_S
"""After a change of the namespace: every process tells of its writes by then."""

STRAYS = 1_000
"""Documents that go in one round, between which others are written."""


class _Round(NamedTuple):
    """What one round of work is with. `check` raises once another process may have the role.

    `rests`: what the feed tells of waits for more.
    """

    served: ServedNamespace
    feed: Feed
    opened: Log
    engine: Search
    alias: str
    fields: Fields
    check: Callable[[], None]
    rests: bool


class _Serving(NamedTuple):
    """The index that is searched, and what its documents may have."""

    name: str
    fields: Collection[str]


class Indexer:
    """Works on one namespace of one generation."""

    def __init__(self, serve: Callable[[], ServedNamespace], searches: Searches, environment: Environment) -> None:
        self._serve = serve
        self._searches = searches
        self._environment = environment
        self._following = Following()
        self._build: Build | None = None
        self._serving: _Serving | None = None
        self._looked_ns: int | None = None
        self._swept: tuple[tuple[int, int], ...] | None = None
        self._told_ns: int | None = None
        self.documents: Documents = Documents(environment)
        self.waiting_since_us: int | None = None
        """When the first event was written of which the index is not known to have been told; None: there is none."""

    @property
    def is_building(self) -> bool:
        """Whether an index is being filled."""
        return self._build is not None

    async def round(self, check: Callable[[], None]) -> bool:
        """A part of what there is to do was done; whether there is more. Raises what an engine raises."""
        work, page = await self._begin(check)
        await work.served.catalogue.refresh()
        if self._following.missed:
            self._looked_ns = None
        check()
        await self._look(work)
        check()
        try:
            await self._tell(work, page)
            check()
            await self._fill(work)
            more = await self._sweep(work)
        except (NotFound, PreconditionFailed):
            # Somebody dropped an index, or another process has the role.
            self._looked_ns, self._build, self._serving = None, None, None
            return True
        more = more or self._build is not None
        if work.rests:
            return more or self._following.missed
        await self._following.commit(work.opened, work.feed.topic, page.next)
        if page.next < page.end:
            return True
        self.waiting_since_us = None
        if page.entries:
            self._told_ns = self._environment.monotonic_ns()
        return more or self._following.missed

    def rest(self) -> None:
        """Others may work on it from now on: this process knows nothing of it any more, and looks when it goes on."""
        self._following.rest()
        self._build, self._serving, self._looked_ns, self._swept = None, None, None, None
        self._told_ns, self.waiting_since_us = None, None

    async def _begin(self, check: Callable[[], None]) -> tuple[_Round, LogPage]:
        served = self._serve()
        assert served.feed is not None
        assert served.config.index is not None
        told_ns, interval = self._told_ns, served.config.index.refresh_interval
        rests = told_ns is not None and self._environment.monotonic_ns() - told_ns < interval
        # Of what waits it is asked how old the first is, round by round.
        opened, page = await self._following.read(served.feed, one=rests)
        self.waiting_since_us = page.entries[0].time_us if page.entries else None
        engine = self._searches.search(served.config.index.engine, ENGINE_KNOB)
        fields = Fields(served.config.index.fields)
        work = _Round(served, served.feed, opened, engine, alias_of(served.feed.digest), fields, check, rests)
        return work, page

    async def _look(self, work: _Round) -> None:
        """Which index serves is known, and that one is being filled that is to serve and does not."""
        now_ns = self._environment.monotonic_ns()
        if self._looked_ns is not None and now_ns - self._looked_ns < LOOK_NS:
            return
        prefix, engine = f"{work.alias}-", work.engine
        own = {each.spec.name: each for each in await engine.indexes() if each.spec.name.startswith(prefix)}
        serving = next((each.spec for each in own.values() if work.alias in each.aliases), None)
        self._serving = None if serving is None else _Serving(serving.name, frozenset(serving.fields))
        progress = await progress_of(work.served)
        await self._follow(work, is_begun=serving is not None or (progress is not None and progress.name in own))
        wanted = f"{prefix}{work.fields.digest}-{await number_of(work.served)}"
        if serving is not None and serving.name == wanted:
            self._build = None
        elif progress is not None and progress.name == wanted in own:
            self._build = Build.resumed(progress, work.served.catalogue.slices)
        else:
            self._build = None
            if not self._is_settled(work.served):
                return
            if wanted in own or (progress is not None and progress.name == wanted):
                # Somebody dropped it. What is asked of that name may come late, so there is none of it again.
                wanted = f"{prefix}{work.fields.digest}-{await rebuild(work.served)}"
            self._build = Build(wanted, work.served.catalogue.slices)
            self._build.noted = await note_progress(work.served, self._build.progress, progress)
            await engine.create_index(work.fields.spec(wanted))
        for name in own:
            if name != wanted and (serving is None or name != serving.name):
                await engine.drop_index(name)
        self._looked_ns = now_ns

    async def _follow(self, work: _Round, *, is_begun: bool) -> None:
        await self._following.is_another(work.opened, work.feed.topic)
        now = Followed(work.feed.topic, work.served.view.version)
        await follow(work.served, now, missed=self._following.missed, is_begun=is_begun)
        self._following.missed = False

    def _is_settled(self, served: ServedNamespace) -> bool:
        view = served.view
        return view.version == 1 or self._environment.now_ns() - view.updated_at >= SETTLED_NS

    async def _tell(self, work: _Round, page: LogPage) -> None:
        """The indexes have the events that the feed tells of, unless these wait for more."""
        if work.rests:
            return
        told = dict.fromkeys(key for entry in page.entries for key in keys_of(entry.value))
        targets: dict[str, Collection[str] | None] = {}
        if self._serving is not None:
            # One that is made for other fields serves until then, and takes none that it has not.
            targets[self._serving.name] = self._serving.fields
        if self._build is not None:
            targets[self._build.name] = None
        await self.documents.put(work.served, work.engine, work.fields, targets, told, work.check)

    async def _fill(self, work: _Round) -> None:
        """The next page of the walk is in the index that is being filled; behind the last it takes its place."""
        build = self._build
        if build is None:
            return
        events, ahead = await build.part(work.served, self._environment)
        await self.documents.put(work.served, work.engine, work.fields, {build.name: None}, events, work.check)
        # It has come so far only now: what could not be put is walked again.
        ahead.noted = await note_progress(work.served, ahead.progress, build.noted)
        self._build = ahead
        if not ahead.is_whole:
            return
        await work.engine.refresh(build.name)
        await work.engine.point(work.alias, build.name)
        before, self._build = self._serving, None
        self._serving = _Serving(build.name, frozenset(work.fields.spec(build.name).fields))
        # A slice may have been dropped after it was walked.
        self._swept = None
        if before is not None:
            await work.engine.drop_index(before.name)

    async def _sweep(self, work: _Round) -> bool:
        """Documents of times of which there is no slice are gone, or some of them; whether there may be more."""
        slices = work.served.catalogue.slices
        spans = tuple((each.start, each.end) for each in slices)
        if self._serving is None:
            return False
        if self._swept is not None and set(self._swept) <= set(spans):
            self._swept = spans
            return False
        await work.engine.refresh(self._serving.name)
        request = Request(query=strays(slices), sort=(Sort(TIME),), limit=STRAYS, fields=(), count=False)
        page = await work.engine.search(self._serving.name, request)
        # Asked behind the index: a slice that is there again may have documents.
        await work.served.catalogue.refresh()
        if work.served.catalogue.slices != slices:
            return True
        revisions = {each.document.id: each.document.revision for each in page.hits}
        await Index(work.engine, self._serving.name, work.check).delete(revisions)
        if page.after is not None:
            return True
        self._swept = spans
        return False
