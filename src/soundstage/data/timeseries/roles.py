"""The roles of time series: slices are made ahead of events and dropped in time, indexed, measured and rewritten."""

from __future__ import annotations

import logging

from soundstage.core.together import all_or_none
from soundstage.data.changes.leaving import drop_left
from soundstage.data.rounds import turn_of
from soundstage.data.timeseries.compaction.turns import StepsInTurn
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.runtime.roles import Role, RoleContext

log: logging.Logger = logging.getLogger("soundstage.timeseries")

PAUSE_S = 5.0
"""Between two rounds over all namespaces, each of which costs a look-up or two."""

ROUNDS_PER_DROP = 120
"""Nothing about the feed of a namespace that was deleted is urgent."""

PARTITIONING_PAUSE_S = 60.0
"""Between two rounds over all namespaces, each of which reads what is kept of their slices."""

INDEXES_AT_ONCE = 8
"""Kept side by side, so that engines that do not answer hold up few others."""

COMPACTIONS_AT_ONCE = 4
"""Slices rewritten side by side, each of another namespace, at one pace: each takes some 200 MiB of memory."""

INDEX_PAUSE_S = 0.5
"""How long until what was written is noticed, where an index had nothing to do."""


async def tend_namespaces(context: RoleContext) -> None:
    """One round over all namespaces. One that fails keeps no other from its turn."""
    service = context.service
    assert isinstance(service, TimeSeriesService)
    for name in service.names():
        context.check()
        with turn_of(name, "time slices could not be tended", log):
            await service.tend(name, context.check)


async def observe_namespaces(context: RoleContext) -> None:
    """The partitions of all namespaces are measured where that is due. One that fails keeps no other from its turn."""
    service = context.service
    assert isinstance(service, TimeSeriesService)
    for name in service.names():
        context.check()
        with turn_of(name, "partitions could not be measured", log):
            await service.observe(name, context.check)


async def index_namespace(context: RoleContext, name: str) -> bool:
    """A part of what the index of a namespace lacks was done; whether there is more. The log has what went wrong."""
    service = context.service
    assert isinstance(service, TimeSeriesService)
    context.check()
    with turn_of(name, "an index is behind", log):
        return await service.tend_index(name, context.check)
    return False


async def clear_indexes(context: RoleContext) -> None:
    """The indexes of namespaces that are gone, or have none any more, are gone where their engines let them."""
    service = context.service
    assert isinstance(service, TimeSeriesService)
    context.check()
    with turn_of(None, "the index of a deleted namespace is left", log):
        await service.drop_indexes(context.check)


async def compact_namespaces(context: RoleContext) -> None:
    """The slices of all namespaces are rewritten, of a few at a time; ends by being called off, or with the lease.

    What slices had before goes meanwhile, however long a large one takes.
    """
    service = context.service
    assert isinstance(service, TimeSeriesService)

    async def compact(name: str) -> bool:
        context.check()
        with turn_of(name, "a time slice could not be rewritten", log):
            return await service.compact(name, context.check)
        return False

    steps = StepsInTurn(service.names, compact, COMPACTIONS_AT_ONCE, PAUSE_S, context.environment)
    await all_or_none([steps.run(), _clear_again(context)])


async def clear_namespaces(context: RoleContext) -> None:
    """What slices had before they were rewritten is gone where that is due. One that fails keeps no other from it."""
    service = context.service
    assert isinstance(service, TimeSeriesService)
    for name in service.names():
        context.check()
        with turn_of(name, "what time slices had before is left", log):
            await service.clear_left(name, context.check)
    with turn_of(None, "segments of a deleted namespace are left", log):
        await service.clear_segments(context.check)


async def _clear_again(context: RoleContext) -> None:
    while True:
        await clear_namespaces(context)
        await context.environment.sleep(PAUSE_S)


async def _compact(context: RoleContext) -> None:
    assert isinstance(context.service, TimeSeriesService)
    try:
        await compact_namespaces(context)
    finally:
        context.service.rest_compactions()


async def _index(context: RoleContext) -> None:
    """Indexes are kept side by side, each without a pause while it is behind, and none waits for a silent engine."""
    service = context.service
    assert isinstance(service, TimeSeriesService)

    async def index(name: str) -> bool:
        return await index_namespace(context, name)

    try:
        steps = StepsInTurn(service.names, index, INDEXES_AT_ONCE, INDEX_PAUSE_S, context.environment)
        await all_or_none([steps.run(), _clear_indexes_again(context)])
    finally:
        service.rest_indexes()


async def _clear_indexes_again(context: RoleContext) -> None:
    while True:
        await clear_indexes(context)
        await context.environment.sleep(PAUSE_S)


async def drop_topics(context: RoleContext, suspects: set[str]) -> set[str]:
    """See `changes.leaving.drop_left`."""
    service = context.service
    assert isinstance(service, TimeSeriesService)
    return await drop_left(context, "timeseries", service.drop_topics, suspects, log)


async def _tend(context: RoleContext) -> None:
    suspects: set[str] = set()
    while True:
        for _ in range(ROUNDS_PER_DROP):
            await context.environment.sleep(PAUSE_S)
            await tend_namespaces(context)
        suspects = await drop_topics(context, suspects)


async def _observe(context: RoleContext) -> None:
    while True:
        await context.environment.sleep(PARTITIONING_PAUSE_S)
        await observe_namespaces(context)


ROLES: list[Role] = [
    Role(name="timeseries-slices", run=_tend, kind="one"),
    Role(name="timeseries-index", run=_index, kind="one"),
    Role(name="timeseries-partitioning", run=_observe, kind="one"),
    Role(name="timeseries-compaction", run=_compact, kind="one"),
]
