"""Puts documents of events into indexes, as the slices have these.

A call that was asked for may be done long after its answer was given up, when another process writes documents. So
every change of a document is made only if that is what it was before the slices were asked: absent, which is guessed
first, for most events are written once, or of the revision that was seen. What comes late finds another, and fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, Unavailable
from soundstage.core.portions import portions
from soundstage.data.timeseries.api import Event
from soundstage.data.timeseries.events import EventKey
from soundstage.data.timeseries.index.events import events_of
from soundstage.data.timeseries.index.fields import Fields
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.engines.search.port import GET_MAX_IDS, Absent, Action, Delete, Put, Search, Status, Unchanged

BULK_ACTIONS = 4_000
"""Engines make durable what comes at once: a tenth as many calls is nearly a tenth of the time."""

BULK_BYTES = 2 << 20

LOOKED_UP = 128
"""Events of which documents are made before it is seen whether they are enough for a call."""

YIELD_EVERY = 32
"""Documents made between two turns of others."""

ACTION_BYTES = 64
"""What an action weighs besides its document."""

TRIES_MAX = 5
"""Of a document that others change meanwhile."""

Events = Mapping[EventKey, Event | None]
"""By their keys, as the slices had them just now; None: to be looked up."""


class Made(NamedTuple):
    """The document of an event; None where there is no event. `size` is that of its JSON, about."""

    key: EventKey
    document: dict[str, Any] | None
    size: int = 0


class Documents:
    """Makes and puts documents. `made` and `unfit` grow from the start of the process on."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.made: int = 0
        self.unfit: int = 0
        """Values that are not what their fields hold."""

    async def put(
        self,
        served: ServedNamespace,
        engine: Search,
        fields: Fields,
        targets: Mapping[str, Collection[str] | None],
        events: Events,
        check: Callable[[], None],
    ) -> None:
        """The documents of these events are in the `targets`, as the slices have them.

        A target has the fields that it is given with, None: all. `check` raises once another process writes documents,
        and is asked before every change.
        """
        keys, part, size = list(events), list[Made](), 0
        for at in range(0, len(keys), LOOKED_UP):
            for made in await self._made(served, fields, keys[at : at + LOOKED_UP], events):
                if part and (len(part) >= BULK_ACTIONS or size + made.size + ACTION_BYTES > BULK_BYTES):
                    await self._put(served, engine, fields, targets, part, check)
                    part, size = [], 0
                part.append(made)
                size += made.size + ACTION_BYTES
        if part:
            await self._put(served, engine, fields, targets, part, check)

    async def _put(
        self,
        served: ServedNamespace,
        engine: Search,
        fields: Fields,
        targets: Mapping[str, Collection[str] | None],
        made: Sequence[Made],
        check: Callable[[], None],
    ) -> None:
        for target, known in targets.items():
            index = Index(engine, target, check)
            left = await index.put_new(_fitting(made, known))
            for _ in range(TRIES_MAX):
                if not left:
                    break
                # The slices are asked behind the index: what is replaced is older than what is put.
                revisions = await index.revisions(left)
                again = await self._made(served, fields, left, {}, count=False)
                left = await index.replace(_fitting(again, known), revisions)
            if left:
                raise Unavailable("documents of the index are changed by others all the time")

    async def _made(
        self, served: ServedNamespace, fields: Fields, keys: Sequence[EventKey], events: Events, *, count: bool = True
    ) -> list[Made]:
        made = list[Made]()
        for at in range(0, len(keys), LOOKED_UP):
            # Of events, which may be large, few are held.
            some = keys[at : at + LOOKED_UP]
            unknown = [key for key in some if events.get(key) is None]
            looked_up = await events_of(served, unknown, self._environment.now_ns(), closed=True)
            found = dict(zip(unknown, looked_up, strict=True))
            for number, key in enumerate(some, 1):
                if number % YIELD_EVERY == 0:
                    await self._environment.sleep(0)
                event = events.get(key) or found.get(key)
                if event is None:
                    made.append(Made(key, None))
                    continue
                document, unfit, size = fields.document(event)
                self.unfit += unfit if count else 0
                self.made += count
                made.append(Made(key, document, size))
        return made


class Index:
    """One index, changed under conditions. `check` raises once another process has the role."""

    def __init__(self, engine: Search, name: str, check: Callable[[], None]) -> None:
        self._engine = engine
        self._name = name
        self._check = check

    async def put_new(self, made: Sequence[Made]) -> list[EventKey]:
        """The documents are put of which there are none; returns the keys of the others, and of what has no event."""
        puts = [
            (each, Put(each.key.document_id, each.document, Absent())) for each in made if each.document is not None
        ]
        gone = [each.key for each in made if each.document is None]
        return gone + await self._bulk(puts)

    async def replace(self, made: Sequence[Made], revisions: Sequence[str | None]) -> list[EventKey]:
        """Documents are changed that still have these revisions; returns the keys of the others."""
        changes = list[tuple[Made, Action]]()
        for each, revision in zip(made, revisions, strict=True):
            if each.document is not None:
                # Also where it says the same: what comes late is to find another revision.
                when = Absent() if revision is None else Unchanged(revision)
                changes.append((each, Put(each.key.document_id, each.document, when)))
            elif revision is not None:
                changes.append((each, Delete(each.key.document_id, Unchanged(revision))))
        return await self._bulk(changes)

    async def revisions(self, keys: Sequence[EventKey]) -> list[str | None]:
        """What the documents of these keys are now; None where there is none."""
        found: list[str | None] = []
        for at in range(0, len(keys), GET_MAX_IDS):
            ids = [key.document_id for key in keys[at : at + GET_MAX_IDS]]
            found += [None if each is None else each.revision for each in await self._engine.get(self._name, ids)]
        return found

    async def delete(self, revisions: Mapping[str, str]) -> None:
        """The documents of these ids are gone that still have these revisions."""
        await self._send([Delete(id, Unchanged(revision)) for id, revision in revisions.items()])

    async def _bulk(self, changes: Sequence[tuple[Made, Action]]) -> list[EventKey]:
        """In parts that an engine takes; returns the keys of those that were not made, as something else is there."""
        left: list[EventKey] = []
        for part in portions(changes, lambda change: change[0].size + ACTION_BYTES, BULK_BYTES):
            left += await self._part(part)
        return left

    async def _part(self, part: Sequence[tuple[Made, Action]]) -> list[EventKey]:
        statuses = await self._send([action for _, action in part])
        return [made.key for (made, _), status in zip(part, statuses, strict=True) if status is Status.CONFLICT]

    async def _send(self, actions: Sequence[Action]) -> list[Status]:
        if not actions:
            return []
        self._check()
        outcomes = await self._engine.bulk(self._name, actions)
        rejected = [each for each in outcomes if each.status is Status.REJECTED]
        if rejected:
            raise Exhausted(f"the search engine had no room for {len(rejected)} documents: {rejected[0].reason}")
        return [each.status for each in outcomes]


def _fitting(made: Sequence[Made], known: Collection[str] | None) -> Sequence[Made]:
    """As an index that has the `known` fields can have them."""
    if known is None:
        return made
    return [
        each._replace(document={name: value for name, value in each.document.items() if name in known})
        if each.document is not None and not all(name in known for name in each.document)
        else each
        for each in made
    ]
