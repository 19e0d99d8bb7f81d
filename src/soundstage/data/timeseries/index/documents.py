"""Puts documents of events into indexes, as the slices have these.

A call that was asked for may be done long after its answer was given up, when another process writes documents. So
every change of a document is made only if that is what it was before the slices were asked: absent, which is guessed
first, for most events are written once, or of the revision that was seen. What comes late finds another, and fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, Unavailable
from soundstage.data.timeseries.api import Event
from soundstage.data.timeseries.events import EventKey
from soundstage.data.timeseries.index.events import events_of
from soundstage.data.timeseries.index.fields import Fields
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.engines.search.port import GET_MAX_IDS, Absent, Action, Delete, Put, Search, Status, Unchanged

BULK_ACTIONS = 4_000
"""Engines make durable what comes at once: a tenth as many calls is nearly a tenth of the time."""

BULK_BYTES = 2 << 20

YIELD_EVERY = 32
"""Documents made between two turns of others."""

TRIES_MAX = 5
"""Of a document that others change meanwhile."""

Made = Sequence[tuple[EventKey, dict[str, Any] | None]]
"""Keys of events and their documents; None where there is no event."""


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
        keys: Sequence[EventKey],
        check: Callable[[], None],
    ) -> None:
        """The documents of the events of these keys are in the `targets`, as the slices have them.

        A target has the fields that it is given with, None: all. `check` raises once another process writes documents,
        and is asked before every change.
        """
        for at in range(0, len(keys), BULK_ACTIONS):
            some = keys[at : at + BULK_ACTIONS]
            made = await self._made(fields, some, await self._events(served, some))
            for target, known in targets.items():
                index = Index(engine, target, check)
                left = await index.put_new(_fitting(made, known))
                for _ in range(TRIES_MAX):
                    if not left:
                        break
                    # The slices are asked behind the index: what is replaced is older than what is put.
                    revisions = await index.revisions(left)
                    again = await self._made(fields, left, await self._events(served, left), count=False)
                    left = await index.replace(_fitting(again, known), revisions)
                if left:
                    raise Unavailable("documents of the index are changed by others all the time")

    async def _events(self, served: ServedNamespace, keys: Sequence[EventKey]) -> Sequence[Event | None]:
        return await events_of(served, keys, self._environment.now_ns(), closed=True)

    async def _made(
        self, fields: Fields, keys: Sequence[EventKey], events: Sequence[Event | None], *, count: bool = True
    ) -> Made:
        made: list[tuple[EventKey, dict[str, Any] | None]] = []
        for number, (key, event) in enumerate(zip(keys, events, strict=True), 1):
            if number % YIELD_EVERY == 0:
                await self._environment.sleep(0)
            if event is None:
                made.append((key, None))
                continue
            document, unfit = fields.document(event)
            self.unfit += unfit if count else 0
            self.made += count
            made.append((key, document))
        return made


class Index:
    """One index, changed under conditions. `check` raises once another process has the role."""

    def __init__(self, engine: Search, name: str, check: Callable[[], None]) -> None:
        self._engine = engine
        self._name = name
        self._check = check

    async def put_new(self, made: Made) -> list[EventKey]:
        """The documents are put of which there are none; returns the keys of the others, and of what has no event."""
        puts = [(key, Put(key.document_id, document, Absent())) for key, document in made if document is not None]
        gone = [key for key, document in made if document is None]
        return gone + await self._bulk(puts)

    async def replace(self, made: Made, revisions: Sequence[str | None]) -> list[EventKey]:
        """Documents are changed that still have these revisions; returns the keys of the others."""
        changes: list[tuple[EventKey, Action]] = []
        for (key, document), revision in zip(made, revisions, strict=True):
            if document is not None:
                # Also where it says the same: what comes late is to find another revision.
                when = Absent() if revision is None else Unchanged(revision)
                changes.append((key, Put(key.document_id, document, when)))
            elif revision is not None:
                changes.append((key, Delete(key.document_id, Unchanged(revision))))
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

    async def _bulk(self, changes: Sequence[tuple[EventKey, Action]]) -> list[EventKey]:
        """In parts that an engine takes; returns the keys of those that were not made, as something else is there."""
        left, part = list[EventKey](), list[tuple[EventKey, Action]]()
        size = 0
        for key, action in changes:
            weight = len(msgspec.json.encode(action.fields)) if isinstance(action, Put) else 64
            if part and size + weight > BULK_BYTES:
                left += await self._part(part)
                part, size = [], 0
            part.append((key, action))
            size += weight
        return left + await self._part(part)

    async def _part(self, part: Sequence[tuple[EventKey, Action]]) -> list[EventKey]:
        statuses = await self._send([action for _, action in part])
        return [key for (key, _), status in zip(part, statuses, strict=True) if status is Status.CONFLICT]

    async def _send(self, actions: Sequence[Action]) -> list[Status]:
        if not actions:
            return []
        self._check()
        outcomes = await self._engine.bulk(self._name, actions)
        rejected = [each for each in outcomes if each.status is Status.REJECTED]
        if rejected:
            raise Exhausted(f"the search engine had no room for {len(rejected)} documents: {rejected[0].reason}")
        return [each.status for each in outcomes]


def _fitting(made: Made, known: Collection[str] | None) -> Made:
    """As an index that has the `known` fields can have them."""
    if known is None:
        return made
    return [
        (key, {name: value for name, value in document.items() if name in known})
        if document is not None and not all(name in known for name in document)
        else (key, document)
        for key, document in made
    ]
