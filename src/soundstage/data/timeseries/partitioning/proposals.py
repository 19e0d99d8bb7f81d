"""What was proposed for slices to come, and what became of it: kept in order, with who decided, when and why.

Data on disk: table `timeseries/<namespace>`, partition `partitioning`: a row `head`, which every change writes, so that
of two who decide at once one is too late; rows `proposal/<number>`; and the row that `layouts` reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import NotFound, PreconditionFailed, Unavailable
from soundstage.data.timeseries.config import Layout
from soundstage.data.timeseries.layouts import ADJUSTMENT, PARTITION, Adjustment
from soundstage.data.timeseries.partitioning.rule import Verdict, described
from soundstage.engines.records.port import Stamp
from soundstage.runtime.system_table import SystemTable

log: logging.Logger = logging.getLogger("soundstage.timeseries")
audit: logging.Logger = logging.getLogger("soundstage.audit")

HEAD = "head"
PROPOSAL = "proposal/"

KEPT_MAX = 100
"""Of a namespace; the oldest go, but for the one that counts."""

TRIES_MAX = 20

State: TypeAlias = Literal["open", "applied", "rejected", "reverted", "superseded"]


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """`before` was in force, by knobs that came to `configured`, when `slices` showed that `after` should be."""

    number: int
    made_us: int
    configured: Layout
    before: Layout
    after: Layout
    target: int
    observed: int
    reason: str
    slices: tuple[str, ...]
    state: State = "open"
    decided_us: int | None = None
    decided_by: str = ""
    why: str = ""

    @property
    def widens(self) -> bool:
        """Whether partitions were too small."""
        return self.observed < self.target


class Known(NamedTuple):
    """All of it at one moment; proposals by their numbers, the oldest first."""

    numbers: int
    stamp: Stamp | None
    proposals: Mapping[int, Proposal]
    adjustment: Adjustment | None

    def in_force(self, configured: Layout) -> Layout:
        """What slices are made by."""
        found = self.adjustment
        return found.layout if found is not None and found.configured == configured else configured


Rows: TypeAlias = dict[str, bytes | None]


class Proposals:
    """Those of one namespace."""

    def __init__(self, table: SystemTable, environment: Environment) -> None:
        self._table = table
        self._environment = environment

    async def known(self) -> Known:
        """All there is."""
        entries = await self._table.read(PARTITION, "")
        head, adjusted = entries.pop(HEAD, None), entries.pop(ADJUSTMENT, None)
        found = [msgspec.msgpack.decode(entry.value, type=Proposal) for entry in entries.values()]
        return Known(
            0 if head is None else msgspec.msgpack.decode(head.value, type=int),
            None if head is None else head.stamp,
            {each.number: each for each in found},
            None if adjusted is None else msgspec.msgpack.decode(adjusted.value, type=Adjustment),
        )

    async def propose(self, namespace: str, configured: Layout, verdict: Verdict, target: int) -> Proposal | None:
        """What `verdict` says is proposed, in place of what was before; None where it is already, or was declined."""
        made: list[Proposal] = []

        def change(known: Known) -> Rows:
            made.clear()
            assert verdict.layout is not None
            found = Proposal(
                number=known.numbers + 1,
                made_us=self._environment.now_us(),
                configured=configured,
                before=known.in_force(configured),
                after=verdict.layout,
                target=target,
                observed=verdict.observed,
                reason=verdict.reason,
                slices=verdict.slices,
            )
            if any(_stands_against(each, found) for each in known.proposals.values()):
                return {}
            made.append(found)
            outdated = [each for each in known.proposals.values() if each.state == "open"]
            rows = {_row(each.number): self._decided(each, "superseded", "", "") for each in outdated}
            spare = [number for number in sorted(known.proposals) if not _counts(number, known)]
            gone: Rows = {_row(number): None for number in spare[: max(0, len(known.proposals) - KEPT_MAX + 1)]}
            return {**rows, **gone, _row(found.number): msgspec.msgpack.encode(found)}

        await self._change(change)
        for each in made:
            log.info("other partitions are proposed for slices to come", extra=_facts(namespace, each))
            return each
        return None

    async def apply(self, namespace: str, number: int, configured: Layout, by: str, why: str) -> Proposal:
        """Slices to come are as it says. Raises `PreconditionFailed` where they are not any more as they were."""

        def decide(found: Proposal, known: Known) -> tuple[State, Adjustment | None]:
            if found.state == "superseded":
                raise PreconditionFailed("a later proposal took its place", field="number")
            if found.state == "applied" or known.in_force(configured) != found.before or found.configured != configured:
                raise _changed_since(known.in_force(configured), found.before)
            return "applied", Adjustment(configured=configured, layout=found.after, number=found.number)

        return await self._decide(namespace, number, decide, by, why)

    async def reject(self, namespace: str, number: int, by: str, why: str) -> Proposal:
        """It is not proposed again for the layout that it is about. Raises `PreconditionFailed` unless it is open."""

        def decide(found: Proposal, known: Known) -> tuple[State, Adjustment | None]:
            if found.state != "open":
                raise PreconditionFailed(
                    f"the proposal is {found.state}", field="number", hint="revert what is applied"
                )
            return "rejected", None

        return await self._decide(namespace, number, decide, by, why)

    async def revert(self, namespace: str, number: int, configured: Layout, by: str, why: str) -> Proposal:
        """Slices to come are as before it. Raises `PreconditionFailed` unless they are as it says now."""

        def decide(found: Proposal, known: Known) -> tuple[State, Adjustment | None]:
            if found.state != "applied" or known.in_force(configured) != found.after or found.configured != configured:
                raise _changed_since(known.in_force(configured), found.after)
            return "reverted", Adjustment(configured=configured, layout=found.before, number=found.number)

        return await self._decide(namespace, number, decide, by, why)

    async def _decide(
        self,
        namespace: str,
        number: int,
        decide: Callable[[Proposal, Known], tuple[State, Adjustment | None]],
        by: str,
        why: str,
    ) -> Proposal:
        def change(known: Known) -> Rows:
            found = known.proposals.get(number)
            if found is None:
                raise NotFound(
                    f"there is no proposal {number}", field="number", hint="list_proposals tells which there are"
                )
            state, adjustment = decide(found, known)
            rows: Rows = {_row(number): self._decided(found, state, by, why)}
            if adjustment is not None:
                rows[ADJUSTMENT] = msgspec.msgpack.encode(adjustment)
            return rows

        rows = await self._change(change)
        found = msgspec.msgpack.decode(rows[_row(number)] or b"", type=Proposal)
        audit.info("partitioning %s", found.state, extra={**_facts(namespace, found), "by": by, "why": why})
        return found

    def _decided(self, found: Proposal, state: State, by: str, why: str) -> bytes:
        now_us = self._environment.now_us()
        return msgspec.msgpack.encode(
            msgspec.structs.replace(found, state=state, decided_us=now_us, decided_by=by, why=why)
        )

    async def _change(self, change: Callable[[Known], Rows]) -> Rows:
        """What `change` makes of what is known is stored; nothing where that is nothing."""
        for _ in range(TRIES_MAX):
            known = await self.known()
            rows = change(known)
            if not rows:
                return rows
            numbers = max([known.numbers, *(int(row.removeprefix(PROPOSAL)) for row in rows if row != ADJUSTMENT)])
            head = msgspec.msgpack.encode(numbers)
            try:
                await self._table.write(PARTITION, {**rows, HEAD: head}, {HEAD: known.stamp}, onward=True)
            except PreconditionFailed:
                continue
            return rows
        raise Unavailable("others decide about the namespace all the time", outcome="not_applied")


def _counts(number: int, known: Known) -> bool:
    return known.adjustment is not None and known.adjustment.number == number


def _stands_against(before: Proposal, found: Proposal) -> bool:
    """Whether that one says the same and is open, or was declined for the same layout in the same direction."""
    about = (before.configured, before.before, before.widens) == (found.configured, found.before, found.widens)
    return about and (
        before.state in ("rejected", "reverted") or (before.state == "open" and before.after == found.after)
    )


def _changed_since(now: Layout, then: Layout) -> PreconditionFailed:
    return PreconditionFailed(
        f"slices to come have {described(now)} by now, and not {described(then)}",
        field="number",
        hint="list_proposals tells what is proposed now",
    )


def _facts(namespace: str, found: Proposal) -> dict[str, object]:
    return {
        "namespace": namespace,
        "number": found.number,
        "observed": found.observed,
        "target": found.target,
        "before": described(found.before),
        "after": described(found.after),
        "reason": found.reason,
    }


def _row(number: int) -> str:
    return f"{PROPOSAL}{number:012d}"
