"""Puts documents of events into indexes, as the slices have these."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted
from soundstage.data.timeseries.api import Event
from soundstage.data.timeseries.events import EventKey
from soundstage.data.timeseries.index.events import events_of
from soundstage.data.timeseries.index.fields import Fields
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.engines.search.port import Action, Delete, Put, Search, Status

BULK_ACTIONS = 4_000
"""Engines make durable what comes at once: a tenth as many calls is nearly a tenth of the time."""

BULK_BYTES = 2 << 20

YIELD_EVERY = 32
"""Documents made between two turns of others."""


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

        A target has the fields that it is given with, None: all. `check` raises once another may write documents.
        """
        for at in range(0, len(keys), BULK_ACTIONS):
            some = keys[at : at + BULK_ACTIONS]
            found = await events_of(served, some, self._environment.now_ns(), closed=True)
            actions = await self._actions(fields, some, found)
            for target, known in targets.items():
                # Whoever has the role by then may have written newer ones.
                check()
                await _bulk(engine, target, actions if known is None else _fitting(actions, known))

    async def _actions(
        self, fields: Fields, keys: Sequence[EventKey], events: Sequence[Event | None]
    ) -> Sequence[Action]:
        actions: list[Action] = []
        for number, (key, event) in enumerate(zip(keys, events, strict=True), 1):
            if number % YIELD_EVERY == 0:
                await self._environment.sleep(0)
            if event is None:
                actions.append(Delete(key.document_id))
                continue
            document, unfit = fields.document(event)
            self.unfit += unfit
            self.made += 1
            actions.append(Put(key.document_id, document))
        return actions


def _fitting(actions: Sequence[Action], known: Collection[str]) -> Sequence[Action]:
    """As an index that has the `known` fields can have them."""
    return [
        Put(each.id, {name: value for name, value in each.fields.items() if name in known})
        if isinstance(each, Put) and not all(name in known for name in each.fields)
        else each
        for each in actions
    ]


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
