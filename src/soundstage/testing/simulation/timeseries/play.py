"""Does the steps of clients of a time series store, and asks the book about every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any

from soundstage.core.errors import DeadlineExceeded, Exhausted, InvalidArgument, SoundstageError, Unavailable
from soundstage.core.namespace import LatencyObjective, NamespaceSpec, Objective
from soundstage.core.time import INT64_MAX, INT64_MIN, NS_PER_S, Duration, Instant
from soundstage.data.timeseries.api import Event, EventFilter, EventItem, TimeInterval, TimeSeries
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.testing.simulation.environment import START_NS
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Divergence, Play, Site
from soundstage.testing.simulation.timeseries.book import KIND, Book, Look, Moment
from soundstage.testing.simulation.timeseries.queueing import Queueing, knobs
from soundstage.testing.simulation.timeseries.rules import LAYOUTS, RULES, History, M, Rules
from soundstage.testing.simulation.timeseries.seeking import ALWAYS, KNOBS, Seeking
from soundstage.testing.simulation.timeseries.steps import EVENT_IDS, KEYS, SERIES, Draft, SeriesStep, draw
from soundstage.testing.simulation.turn import aside

NAMESPACE = "events"
KNOWN = (Unavailable, DeadlineExceeded, Exhausted)
KINDS = (b"x", b"y")
KEPT_MAX = 60
PAGES_MAX = 3_000
TRIES_MAX = 5
RETRY_S = 0.2
INDEXED_SHARE = 0.6
"""Of the runs."""


def kind_of(time_ns: int, event_id: str) -> bytes:
    """What an event has under `KIND`, in every write of it."""
    return KINDS[(time_ns + len(event_id)) % len(KINDS)]


class TimeSeriesPlay:
    """See `soundstage.testing.simulation.scenario.Play`."""

    def __init__(self, site: Site, random: Random) -> None:
        self._site = site
        self._history = History(random.choice(RULES))
        self._layout = random.choice(LAYOUTS)
        self._book = Book(self._history)
        self._sent: list[list[Event]] = []
        self._configuring = asyncio.Lock()
        self._rounds: dict[int, Moment] = {}
        self._round = 0
        self._seeking: Seeking | None = None
        if random.random() < INDEXED_SHARE:
            self._seeking = Seeking(site, self._book, self._history, NAMESPACE, self._service, self._now)
        self._queueing = Queueing(
            site, self._book, self._history, lambda: self._served().buffer, self._sees, self._tells
        )

    async def prepare(self) -> None:
        """The namespace is there."""
        await self._put(self._history.current)

    async def play(self, step: SeriesStep) -> None:
        if step.act in ("index", "search", "rebuild", "wipe"):
            await self._play_index(step)
            return
        match step.act:
            case "write":
                await self._write(step)
            case "repeat" | "late":
                await self._repeat(step)
            case "read" | "walk":
                await self._read(step)
            case "tend":
                await self._tend()
            case "double":
                await asyncio.gather(self._tend(), self._tend())
                self._site.note("doubled")
            case "keep":
                await self._keep(step)
            case "lay_out":
                await self._lay_out(step)
            case "age":
                await self._site.environment.sleep(20 * 60.0)
            case "queue":
                await self._queue(step)
            case _:
                raise AssertionError(step.act)

    async def _play_index(self, step: SeriesStep) -> None:
        if self._seeking is None:
            return
        match step.act:
            case "index":
                check = self._check(self._site.host.restarts)
                agreeing = step.limited or step.filtered
                work = self._seeking.agree(check, self._all) if agreeing else self._seeking.tend(check)
                outcome = await self._alone(work)
                if isinstance(outcome, Exception):
                    raise outcome
            case "search":
                kind = KINDS[step.choice % 2] if step.filtered else None
                await self._seeking.search(step.client, kind, max(2, step.page_size))
            case "rebuild":
                await self._seeking.rebuild(step.client)
            case _:
                await self._seeking.wipe()

    async def settle(self) -> None:
        """All that must be there is, nothing else is, and no table is there that no slice has."""
        await self._tend()
        await self._sees()
        for number in range(len(SERIES)):
            step = SeriesStep(number=0, client=0, act="walk", series=number, page_size=7)
            await self._read(step)
        if self._seeking is not None:
            await self._seeking.settle(self._all)
        engine, slices = self._site.host.engine, self._served().catalogue.slices
        tables = {spec.name for spec in await engine.tables() if spec.name.startswith(f"timeseries/{NAMESPACE}/")}
        # One that was noted and not made yet belongs to a write that failed, and is made by the next.
        if not {each.table for each in slices if each.made} <= tables <= {each.table for each in slices}:
            raise Divergence(f"there are the tables {sorted(tables)}, and slices {slices}")

    async def _write(self, step: SeriesStep) -> None:
        events = [self._event(draft) for draft in step.drafts]
        if step.ahead:
            events.append(self._ahead(step))
            self._book.sends(events)
            self._book.refuses(events)
            self._site.note("ahead")
            await self._send(step, events)
            return
        self._book.sends(events)
        self._sent = [*self._sent, events][-KEPT_MAX:]
        await self._send(step, events)

    async def _repeat(self, step: SeriesStep) -> None:
        """Events of before, of one write or of two, whatever became of them."""
        if not self._sent:
            return
        span = 5 if step.act == "repeat" else KEPT_MAX
        events = list(self._sent[-1 - step.choice % min(span, len(self._sent))])
        if step.narrow:
            events += self._sent[step.choice % len(self._sent)]
        self._site.note("repeated")
        await self._send(step, events)

    async def _send(self, step: SeriesStep, events: list[Event]) -> None:
        series = self._site.client(step.client, TimeSeries, NAMESPACE)
        for _ in range(TRIES_MAX):
            began = self._now()
            try:
                await series.write_event_records_sync(events=events)
            except InvalidArgument as error:
                await self._refused(events, error, began)
                return
            except KNOWN:
                self._site.note("uncertain")
                if step.choice % 3 == 0:
                    return
                await self._site.environment.sleep(RETRY_S)
                continue
            ended = self._now()
            if any(self._history.may_be_late(each.event_time, began.ns, ended.ns) for each in events):
                self._site.note("late_and_stored")
            self._book.acknowledges(events, began, ended)
            self._tells(events, began)
            await self._sees()
            self._site.note("written")
            return

    async def _queue(self, step: SeriesStep) -> None:
        """Events that are stored later, or lost with their process."""
        events = [self._event(draft) for draft in step.drafts]
        self._book.sends(events)
        series, restarts = self._site.client(step.client, TimeSeries, NAMESPACE), self._site.host.restarts
        began = self._now()
        try:
            await series.write_event_records(events=events)
        except InvalidArgument as error:
            await self._refused(events, error, began)
            return
        except KNOWN:
            self._site.note("uncertain")
            return
        self._book.takes(events, began, self._now())
        await self._queueing.watch(events, began, self._now, restarts)
        await self._sees()

    async def _all(self) -> list[Event]:
        """Every event that is shown."""
        series = self._site.host.stage.client(TimeSeries, NAMESPACE)
        found = list[Event]()
        for name in SERIES:
            pages = series.read_event_records.pages(time_series_id=name, time_interval=ALWAYS)
            found += [each async for page in pages for each in page.records]
        return found

    def _tells(self, events: Sequence[Event], began: Moment) -> None:
        if self._seeking is not None:
            self._seeking.tells(events, began)

    async def _refused(self, events: list[Event], error: InvalidArgument, began: Moment) -> None:
        field = error.field or ""
        if not field.endswith("].event_time"):
            raise Divergence(f"{events} were refused: {error}") from error
        await self._sees()
        self._book.check_refusal(events, int(field[len("events[") : field.index("]")]), began, self._now())
        self._site.note("refused")

    async def _read(self, step: SeriesStep) -> None:
        await self._sees()
        began, rounds = self._now(), set(self._rounds)
        start, end = self._interval(step, began.ns)
        kind = KINDS[step.choice % 2] if step.filtered else None
        limit = 1 + step.choice % 9 if step.limited else None
        try:
            found = await self._walk(step, start, end, kind, limit)
        except KNOWN:
            self._site.note("unread")
            return
        await self._sees()
        ended = self._now()
        for each in (*rounds, *self._rounds):
            self._book.drops(self._rounds.get(each, began), ended)
        self._book.check(found, Look(SERIES[step.series], start, end, began, ended, kind, limit))
        self._site.note("shown" if found else "empty")

    async def _walk(self, step: SeriesStep, start: int, end: int, kind: bytes | None, limit: int | None) -> list[Event]:
        series = self._site.client(step.client, TimeSeries, NAMESPACE)
        filters = [] if kind is None else [EventFilter(match_event_item_key=KIND, match_event_item_value=kind)]
        asked: dict[str, Any] = {
            "time_series_id": SERIES[step.series],
            "time_interval": TimeInterval(start=Instant(start), end=Instant(end)),
            "event_filters": filters,
            "page_size": step.page_size,
            "total_record_limit": limit,
            "allow_partial": step.partial,
        }
        found, token, failures = list[Event](), None, 0
        for number in range(PAGES_MAX):
            try:
                page = await series.read_event_records(**asked, page_token=token)
            except KNOWN:
                failures += 1
                if failures == TRIES_MAX:
                    raise
                await self._site.environment.sleep(RETRY_S)
                continue
            found, token = [*found, *page.records], page.next_page_token
            if page.partial:
                self._site.note("partial")
            if token is None:
                return found
            if number == 0 and page.records:
                self._site.note("paged")
            if number < TRIES_MAX:
                await self._site.environment.sleep(step.pause_between_s)
        raise Divergence(f"{PAGES_MAX} pages are not all: {asked}")

    async def _tend(self) -> None:
        """A round of the control loop; when the host ends, so does it."""
        if not self._site.host.is_up:
            return
        await self._sees()
        self._round += 1
        number, began, restarts = self._round, self._now(), self._site.host.restarts
        self._rounds[number] = began
        outcome = await self._alone(self._service().tend(NAMESPACE, self._check(restarts)))
        del self._rounds[number]
        ended = self._now()
        if self._book.drops(began, ended):
            self._site.note("dropped")
        if self._seeking is not None:
            self._seeking.drops(began, ended)
        if isinstance(outcome, SoundstageError) and not isinstance(outcome, KNOWN):
            raise Divergence(f"slices could not be tended: {outcome!r}") from outcome
        if isinstance(outcome, Exception) and not isinstance(outcome, SoundstageError):
            raise outcome

    async def _alone(self, work: Coroutine[Any, Any, None]) -> BaseException | None:
        """What became of `work`, which ends with the process that does it."""
        restarts = self._site.host.restarts
        task = asyncio.ensure_future(work)
        while not task.done() and restarts == self._site.host.restarts and self._site.host.is_up:
            await asyncio.wait({task}, timeout=0.05)
        if not task.done():
            self._site.note("cut_short")
            task.cancel()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    def _check(self, restarts: int) -> Any:
        def check() -> None:
            if restarts != self._site.host.restarts:
                raise Unavailable("the process has ended", outcome="not_applied")

        return check

    async def _keep(self, step: SeriesStep) -> None:
        """Events are taken and kept for another time."""
        async with self._configuring:
            await self._configure(RULES[step.choice % len(RULES)])

    async def _lay_out(self, step: SeriesStep) -> None:
        """Slices to come have other settings."""
        async with self._configuring:
            self._layout = LAYOUTS[step.choice % len(LAYOUTS)]
            await self._configure(self._history.current)

    async def _configure(self, rules: Rules) -> None:
        self._history.tries(rules, self._now_ns())
        with suppress(*KNOWN), aside():
            await self._put(rules)
            self._history.succeeds(rules, self._now_ns())

    async def _put(self, rules: Rules) -> None:
        config: dict[str, Any] = {**rules.knobs(), "time_partition": self._layout, "page_size_bytes": "2KiB"}
        config |= {"fan_out": 2, "queue_buffering": knobs()}
        if self._seeking is not None:
            config["index"] = dict(KNOBS)
        slos = {"read": Objective(latency=LatencyObjective(max=Duration(NS_PER_S // 5)))}
        spec = NamespaceSpec(name=NAMESPACE, abstraction="timeseries", config=config, slos=slos)
        await self._site.host.stage.client(Namespaces).put(namespace=spec)

    async def _sees(self) -> None:
        """The slices there are; what cannot be known now is known later."""
        with suppress(SoundstageError), aside():
            catalogue = self._served().catalogue
            await catalogue.refresh()
            self._history.sees(catalogue.slices)

    def _served(self) -> ServedNamespace:
        return self._service()._serve(NAMESPACE)  # pyright: ignore[reportPrivateUsage]

    def _service(self) -> TimeSeriesService:
        service = self._site.host.stage.systems.service("timeseries")
        assert isinstance(service, TimeSeriesService)
        return service

    def _event(self, draft: Draft) -> Event:
        now_ns, rules = self._now_ns(), self._history.current
        oldest_ns = 30 * M if rules.oldest_ns is None else rules.oldest_ns
        edges = (now_ns, now_ns // M * M, now_ns // (10 * M) * 10 * M, now_ns - oldest_ns, now_ns - oldest_ns // 2)
        time_ns, event_id = edges[draft.near] + draft.off_ns, EVENT_IDS[draft.event_id]
        items = [EventItem(event_item_key=KIND, event_item_value=kind_of(time_ns, event_id))]
        items += [
            EventItem(event_item_key=KEYS[key], event_item_value=b"%d/%06d" % (draft.rank, draft.number))
            for key in draft.keys
        ]
        return Event(
            time_series_id=SERIES[draft.series], event_time=Instant(time_ns), event_id=event_id, event_items=items
        )

    def _ahead(self, step: SeriesStep) -> Event:
        items = [EventItem(event_item_key="k", event_item_value=b"9/%06d" % step.number)]
        at = self._now_ns() + 100 * M
        return Event(time_series_id=SERIES[0], event_time=Instant(at), event_id="ahead", event_items=items)

    def _interval(self, step: SeriesStep, now_ns: int) -> tuple[int, int]:
        if not step.narrow:
            return INT64_MIN, INT64_MAX
        start = now_ns - (step.choice % 7_200) * NS_PER_S
        return start, start + 1 + (step.choice % 3_600) * NS_PER_S

    def _now(self) -> Moment:
        return self._book.now(self._now_ns())

    def _now_ns(self) -> int:
        """True time; the host's clock is off by less than `MARGIN_NS`."""
        return START_NS + self._site.loop.virtual_ns


class TimeSeriesScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "timeseries"
    spared: frozenset[str] = SYSTEM_TABLES
    situations: Mapping[str, float] = {
        "written": 0.12,
        "repeated": 0.05,
        "late_and_stored": 0.005,
        "refused": 0.01,
        "ahead": 0.005,
        "dropped": 0.005,
        "shown": 0.05,
        "paged": 0.02,
        "uncertain": 0.0001,
        "doubled": 0.002,
        "queued": 0.005,
        "indexed": 0.005,
        "agreed": 0.001,
        "found": 0.002,
        "wiped": 0.0005,
    }

    def draw(self, random: Random, number: int, client: int) -> SeriesStep:
        return draw(random, number, client)

    def open(self, site: Site, random: Random) -> Play:
        return TimeSeriesPlay(site, random)
