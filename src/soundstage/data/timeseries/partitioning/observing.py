"""Looks at slices: again and again in the background, and at a few for who asks."""

from __future__ import annotations

from collections.abc import Callable

from soundstage.core.environment import Environment
from soundstage.core.errors import NotFound
from soundstage.data.timeseries.api.partitions import PartitionHistogramReply
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.partitioning.histograms import (
    AT_ONCE,
    LOOKED_AT_MAX,
    STEADY,
    Histograms,
    asked_for,
    is_due,
    is_stale,
    told,
)
from soundstage.data.timeseries.partitioning.surveys import Limits, Survey, survey
from soundstage.data.timeseries.slices import Slice


async def observe(served: ServedNamespace, environment: Environment, check: Callable[[], None]) -> int:
    """Every slice that was due is surveyed, and nothing is kept of those that are gone; how many were.

    `check` raises when another process may be at it.
    """
    await served.catalogue.refresh()
    slices, histograms, surveyed = served.catalogue.slices, Histograms(served.table), 0
    kept = await histograms.all()
    for number in kept.keys() - {each.number for each in slices}:
        check()
        await histograms.forget(number, kept[number])
    for each in slices:
        before = kept.get(each.number)
        if not is_due(each, before and before.survey, served.lifetime, environment.now_ns()):
            continue
        found = await _look(served, each, STEADY, environment, check)
        if found is not None:
            check()
            await histograms.keep(each.number, found, before)
            surveyed += 1
    return surveyed


async def tell(served: ServedNamespace, table: str | None, environment: Environment) -> PartitionHistogramReply:
    """What is kept of the slices, or of the one with that `table`; a few that nobody looked at yet are, briefly.

    The one that is asked for alone is looked at anew where it may have grown.
    """
    await served.catalogue.refresh()
    slices = asked_for(served.catalogue.slices, table)
    surveys = {number: each.survey for number, each in (await Histograms(served.table).all()).items()}
    now_ns, looks = environment.now_ns(), LOOKED_AT_MAX
    for each in reversed(slices):
        known = surveys.get(each.number)
        wanted = is_stale(each, known, served.lifetime, now_ns) and (known is None or table is not None)
        if looks and wanted and served.lifetime.is_read(each, now_ns) and each.start <= now_ns:
            looks -= 1
            found = await _look(served, each, AT_ONCE, environment, None)
            if found is not None:
                surveys[each.number] = found
    return PartitionHistogramReply(slices=[told(each, surveys.get(each.number)) for each in slices])


async def _look(
    served: ServedNamespace,
    slice: Slice,
    limits: Limits,
    environment: Environment,
    check: Callable[[], None] | None,
) -> Survey | None:
    """None: the slice was dropped meanwhile."""
    try:
        return await survey(served.records, slice.table, limits, environment, check)
    except NotFound:
        return None
