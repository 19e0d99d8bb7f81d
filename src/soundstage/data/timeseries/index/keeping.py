"""Keeps the indexes of all namespaces, and drops those that no namespace has any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from soundstage.core.errors import NotFound, SoundstageError
from soundstage.core.time import NS_PER_S
from soundstage.data.timeseries.feed import LOG_KNOB
from soundstage.data.timeseries.index.indexer import Indexer
from soundstage.data.timeseries.index.register import TABLE, Found, Register, Registered
from soundstage.data.timeseries.index.searching import ENGINE_KNOB, alias_of
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.service import ServiceContext

GONE_NS = 60 * NS_PER_S
"""How long a namespace is not there until it is gone: of one that another process has made this one hears later."""


class _Kept(NamedTuple):
    topic: str
    indexer: Indexer


class Keeping:
    """What the process with the role does. `serve` gives a namespace as it is, or raises as views of namespaces do."""

    def __init__(self, context: ServiceContext, serve: Callable[[str], ServedNamespace]) -> None:
        self._context = context
        self._environment = context.environment
        self._serve = serve
        self._kept: dict[str, _Kept] = {}
        self._noted: set[str] = set()
        self._missing_since_ns: dict[str, int] = {}
        self._busy: set[str] = set()
        """Topics whose indexes are worked on, or dropped: never both at once."""

    async def start(self) -> None:
        """The table exists that says which indexes there may be."""
        self._register = Register(self._context.table(TABLE))
        await self._register.create()

    async def tend(self, name: str, check: Callable[[], None]) -> bool:
        """A part of what the index of a namespace lacks was done; whether there is more. One without has none."""
        served = self._serve(name)
        topic = None if served.feed is None else served.feed.topic
        kept = self._kept.get(name)
        if kept is not None and kept.topic != topic:
            del self._kept[name]
        if topic is None or topic in self._busy:
            return False
        self._busy.add(topic)
        try:
            if topic not in self._noted:
                await self._register.note(_registered(served))
                self._noted.add(topic)
            if name not in self._kept:
                indexer = Indexer(partial(self._serve, name), self._context.searches, self._environment)
                self._kept[name] = _Kept(topic, indexer)
            return await self._kept[name].indexer.round(check)
        finally:
            self._busy.discard(topic)

    async def drop_left(self, check: Callable[[], None]) -> None:
        """Indexes that no namespace has any more are gone, with their topics; none waits for one that fails.

        One that another process noted goes a minute later: its namespace may be one that is not known here yet.
        """
        failures: list[SoundstageError] = []
        for found in await self._register.all():
            topic = found.registered.topic
            if not self._is_left(found.registered):
                self._missing_since_ns.pop(topic, None)
                continue
            now_ns = self._environment.monotonic_ns()
            since_ns = self._missing_since_ns.setdefault(topic, now_ns)
            if topic not in self._noted and now_ns - since_ns < GONE_NS:
                continue
            if topic in self._busy:
                continue
            self._busy.add(topic)
            try:
                await self._drop(found, check)
            except SoundstageError as error:
                failures.append(error)
            finally:
                self._busy.discard(topic)
        if failures:
            raise failures[0]

    def rest(self) -> None:
        """Another process may keep the indexes from now on; this one knows nothing of them any more."""
        for kept in self._kept.values():
            kept.indexer.rest()
        self._noted.clear()
        self._missing_since_ns.clear()

    def measurements(self, name: str, labels: Mapping[str, str]) -> Iterable[Measurement]:
        """What this process does for the index of a namespace, if it is the one."""
        kept = self._kept.get(name)
        if kept is None:
            return
        since_us, documents = kept.indexer.waiting_since_us, kept.indexer.documents
        lag_s = 0.0 if since_us is None else max(0.0, (self._environment.now_us() - since_us) / 1e6)
        for metric, help, value in (
            ("timeseries_index_events", "Documents written", documents.made),
            ("timeseries_index_values_unfit", "Values that are not what their fields hold", documents.unfit),
        ):
            yield Measurement(metric, help, float(value), "counter", labels)
        building = float(kept.indexer.is_building)
        yield Measurement("timeseries_index_building", "Whether it is being made anew", building, "gauge", labels)
        yield Measurement(
            "timeseries_index_lag_seconds", "Age of the first write not in the index", lag_s, "gauge", labels
        )

    def _is_left(self, registered: Registered) -> bool:
        """Whether no namespace has it, as far as is known here; one that cannot be served for now is to find it."""
        try:
            served = self._serve(registered.namespace)
        except NotFound:
            return True
        except SoundstageError:
            return False
        return served.feed is None or served.feed.topic != registered.topic

    async def _drop(self, found: Found, check: Callable[[], None]) -> None:
        registered = found.registered
        engine = self._context.searches.search(registered.engine, ENGINE_KNOB)
        prefix = f"{alias_of(registered.digest)}-"
        for each in await engine.indexes():
            if each.spec.name.startswith(prefix):
                check()
                await engine.drop_index(each.spec.name)
        check()
        await self._context.logs.log(registered.log, LOG_KNOB).drop_topic(registered.topic)
        await self._register.forget(found)
        self._noted.discard(registered.topic)
        self._missing_since_ns.pop(registered.topic, None)
        if (kept := self._kept.get(registered.namespace)) is not None and kept.topic == registered.topic:
            del self._kept[registered.namespace]


def _registered(served: ServedNamespace) -> Registered:
    feed, index = served.feed, served.config.index
    assert feed is not None
    assert index is not None
    return Registered(namespace=served.name, topic=feed.topic, digest=feed.digest, log=index.log, engine=index.engine)
