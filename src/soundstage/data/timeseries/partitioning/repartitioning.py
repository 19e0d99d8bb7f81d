"""What becomes of slices to come: it is judged by what was measured, proposed, and applied where the knobs say so."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from soundstage.core.environment import Environment
from soundstage.core.errors import NotFound, PreconditionFailed
from soundstage.core.time import NS_PER_S, Duration, Instant
from soundstage.data.timeseries.api.partitions import ListProposalsReply, PartitionLayout, PartitionProposal
from soundstage.data.timeseries.config import Layout
from soundstage.data.timeseries.namespace import ServedNamespace
from soundstage.data.timeseries.partitioning.histograms import Histograms
from soundstage.data.timeseries.partitioning.proposals import Proposal, Proposals
from soundstage.data.timeseries.partitioning.rule import Aim, Density, Verdict, judge
from soundstage.data.timeseries.partitioning.surveys import Survey
from soundstage.data.timeseries.slices import Slice
from soundstage.engines.records.port import Budget

ROLE = "timeseries-partitioning"
"""Who decides, where the mode is `auto`."""

FULL = 0.75
"""The part of its time that a slice must have had when it was looked at."""

UNTOUCHED_NS = 600 * NS_PER_S
"""A slice whose start is farther off than this, and than events may be ahead, has nobody writing to it yet."""


async def repartition(served: ServedNamespace, environment: Environment, check: Callable[[], None]) -> Proposal | None:
    """What slices to come should be like is proposed, once, and applied in the mode `auto`; what was, or None.

    The next slice, where it was made already and is empty and far from its start, is dropped, to be made as it is to
    be now. `check` raises when another process may be at it.
    """
    proposals, mode = Proposals(served.table, environment), served.config.repartitioning.mode
    made: Proposal | None = None
    if mode != "off":
        verdict = await _verdict(served, proposals)
        check()
        if verdict.layout is not None:
            target = served.config.repartitioning.target
            made = await proposals.propose(served.name, served.layout, verdict, int(target))
        if mode == "auto":
            made = await _apply_open(served, proposals) or made
    await _replace(served, proposals, environment, check)
    return made


async def tell(served: ServedNamespace, environment: Environment) -> ListProposalsReply:
    """All proposals, the newest first, and what is thought of the slices now."""
    await served.catalogue.refresh()
    proposals = Proposals(served.table, environment)
    known, verdict = await proposals.known(), await _verdict(served, proposals)
    return ListProposalsReply(
        mode=served.config.repartitioning.mode,
        layout=_layout(known.in_force(served.layout)),
        verdict=verdict.reason,
        proposals=[told(each) for each in sorted(known.proposals.values(), key=lambda each: -each.number)],
    )


def told(found: Proposal) -> PartitionProposal:
    """As it is answered."""
    return PartitionProposal(
        number=found.number,
        made_at=Instant(found.made_us * 1_000),
        state=found.state,
        before=_layout(found.before),
        after=_layout(found.after),
        observed_bytes=found.observed,
        target_bytes=found.target,
        reason=found.reason,
        slices=list(found.slices),
        decided_at=None if found.decided_us is None else Instant(found.decided_us * 1_000),
        decided_by=found.decided_by or None,
        why=found.why or None,
    )


async def _apply_open(served: ServedNamespace, proposals: Proposals) -> Proposal | None:
    """What is open is applied, but for what was proposed for other knobs."""
    known = await proposals.known()
    for each in known.proposals.values():
        if each.state == "open" and (each.configured, each.before) == (served.layout, known.in_force(served.layout)):
            try:
                return await proposals.apply(served.name, each.number, served.layout, ROLE, each.reason)
            except PreconditionFailed:
                # Somebody was faster.
                return None
    return None


async def _verdict(served: ServedNamespace, proposals: Proposals) -> Verdict:
    in_force = (await proposals.known()).in_force(served.layout)
    surveys = {number: each.survey for number, each in (await Histograms(served.table).all()).items()}
    knobs = served.config.repartitioning
    aim = Aim(int(knobs.target), int(knobs.bucket_min), knobs.event_buckets_max)
    return judge(in_force, _densities(served.catalogue.slices, surveys), aim)


def _densities(slices: Iterable[Slice], surveys: dict[int, Survey]) -> list[Density]:
    """Of the slices that were full enough when they were looked at, the newest last."""
    found: list[Density] = []
    for each in slices:
        survey = surveys.get(each.number)
        full_ns = each.start + (each.end - each.start) * FULL
        if survey is None or each.endless or survey.until_us * 1_000 < full_ns:
            continue
        sizes = survey.bytes
        p95, p99 = sizes.quantile(0.95), sizes.quantile(0.99)
        found.append(Density(each.table, each.bucket_ns, each.event_buckets, p95, p99, sizes.greatest, survey.seen))
    return found


async def _replace(
    served: ServedNamespace, proposals: Proposals, environment: Environment, check: Callable[[], None]
) -> None:
    """No empty slice of other settings than those in force waits for its start, where these were adjusted."""
    known = await proposals.known()
    if known.adjustment is None or known.adjustment.configured != served.layout:
        return
    wanted = known.in_force(served.layout)
    await served.catalogue.refresh()
    untouched_ns = environment.now_ns() + int(served.config.accept_future) + UNTOUCHED_NS
    numbers = {
        each.number
        for each in served.catalogue.slices
        if each.start > untouched_ns
        and not each.endless
        and (each.bucket_ns, each.event_buckets) != (wanted.bucket_ns, wanted.event_buckets)
        and await _is_empty(served, each, environment)
    }
    if numbers:
        await served.catalogue.drop(lambda each: each.number in numbers, check)


async def _is_empty(served: ServedNamespace, found: Slice, environment: Environment) -> bool:
    if not found.made:
        return False
    position: bytes | None = None
    while True:
        try:
            page = await served.records.walk(found.table, 0, 1, position, Budget(rows=1), environment.now_us())
        except NotFound:
            return False
        position = page.position
        if page.partitions or position is None:
            return not page.partitions


def _layout(found: Layout) -> PartitionLayout:
    return PartitionLayout(
        seconds_per_slice=Duration(found.width_ns),
        seconds_per_bucket=Duration(found.bucket_ns),
        event_buckets=found.event_buckets,
    )
