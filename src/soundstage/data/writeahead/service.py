"""The operations of the write-ahead log, and the journals of this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from soundstage.core.call import Call
from soundstage.core.errors import InvalidArgument, NotFound, PreconditionFailed, TokenDrift
from soundstage.core.message import IdempotencyToken
from soundstage.core.time import Instant
from soundstage.data.writeahead.api import (
    DeadSet,
    Discard,
    GetDead,
    GetStatus,
    ListDead,
    ListDeadReply,
    MutationProblem,
    MutationStatus,
    ReplayDead,
)
from soundstage.data.writeahead.config import SystemConfig
from soundstage.data.writeahead.journal import Journal
from soundstage.data.writeahead.ledger import TABLE, Known, Ledger, Listed, Status, dead, pending
from soundstage.data.writeahead.sets import decode
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.service import ServiceContext

SYSTEM = "writeahead"

_LIST = "writeahead/list_dead"


class WriteAheadService:
    """Serves `WriteAheadCalls`; `journal` is for the systems that submit sets."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._environment = context.environment
        self._config: SystemConfig = context.config
        self._journals: dict[str, Journal] = {}

    async def start(self) -> None:
        """The table exists; topics are made by the first set of each target."""
        self._ledger: Ledger = Ledger(self._context.table(TABLE))
        await self._ledger.create()

    async def stop(self) -> None:
        """There is nothing to stop."""

    def scopes(self, operation: str, request: Any) -> Sequence[str]:
        """Dead sets may be of any namespace; a status says nothing of what is in a set."""
        return () if operation == "status" else ("*",)

    def journal(self, target: str) -> Journal:
        """The journal of that target. Raises `InvalidArgument` where the stage has no such log."""
        journal = self._journals.get(target)
        if journal is None:
            log = self._context.logs.log(self._config.log, "systems.writeahead.log")
            journal = Journal(target, log, self._ledger, self._config, self._environment)
            self._journals[target] = journal
        return journal

    async def status(self, call: Call, request: GetStatus) -> MutationStatus:
        return _told(request.mutation_id, (await self._found(request.mutation_id)).status)

    async def list_dead(self, call: Call, request: ListDead) -> ListDeadReply:
        after = self._context.page_tokens.open_place(_LIST, request)
        listed = await self._ledger.listed(dead(request.target), request.page_size, after=after)
        sets: list[MutationStatus] = []
        for each in listed:
            known = await self._ledger.find(each.mutation_id)
            if known is not None and known.status.state == "dead" and known.status.next_us == each.at_us:
                sets.append(_told(each.mutation_id, known.status))
        token = None
        if len(listed) == request.page_size:
            token = self._context.page_tokens.seal_place(_LIST, request, listed[-1].key)
        return ListDeadReply(sets=sets, next_page_token=token)

    async def get_dead(self, call: Call, request: GetDead) -> DeadSet:
        known = await self._dead(request.mutation_id)
        content = await self._ledger.content(request.mutation_id, known.status)
        mutations = [] if content is None else decode(content).mutations
        plain = [msgspec.msgpack.decode(mutation) for mutation in mutations]
        return DeadSet(status=_told(request.mutation_id, known.status), mutations=plain)

    async def replay(self, call: Call, request: ReplayDead) -> MutationStatus:
        mutation_id = request.mutation_id
        known = await self._dead(mutation_id)
        status, died_us = known.status, known.status.next_us
        if status.problem is not None and status.problem.code == TokenDrift.code and not request.retoken:
            raise PreconditionFailed(
                f"the set {mutation_id} is too old to be applied with its own versions: {status.problem.detail}",
                field="retoken",
                hint="replay it with retoken, over what was written since, or discard it",
            )
        content = await self._ledger.content(mutation_id, status)
        if content is None:
            raise PreconditionFailed(
                f"the mutations of the set {mutation_id} are damaged", hint="discard it, and submit them anew"
            )
        now_us = self._environment.now_us()
        changes: dict[str, Any] = {"tries": 0, "since_us": now_us, "next_us": now_us}
        if request.retoken:
            # As many ticks as for a set of its own, so that no write in between is given one of them.
            token = self._context.clock.token(status.count)
            changes |= {"token": token.token, "time_us": token.generation_time.us}
        await self._ledger.shelve(mutation_id, content)
        known = await self._ledger.wait(mutation_id, status.now("pending", **changes), known.stamp)
        await self._ledger.strike(dead(status.target), Listed(died_us, mutation_id))
        return _told(mutation_id, known.status)

    async def discard(self, call: Call, request: Discard) -> MutationStatus:
        known = await self._found(request.mutation_id)
        status = known.status
        if status.state == "discarded":
            return _told(request.mutation_id, status)
        if status.state not in ("dead", "pending"):
            raise PreconditionFailed(
                f"the set {request.mutation_id} is {status.state}", hint="sets that are dead, or that wait, can be"
            )
        kept_us = self._config.status_kept.us
        known = await self._ledger.write(
            request.mutation_id, status.now("discarded"), known.stamp, kept_us=kept_us, clear=True
        )
        name = dead if status.state == "dead" else pending
        await self._ledger.strike(name(status.target), Listed(status.next_us, request.mutation_id))
        return _told(request.mutation_id, known.status)

    def measurements(self) -> Iterable[Measurement]:
        """What the journals of this process count, and for how long sets have been waiting."""
        for journal in self._journals.values():
            yield from journal.tally.measurements(self._environment.now_us(), journal.room)

    async def _found(self, mutation_id: str) -> Known:
        known = await self._ledger.find(mutation_id) if mutation_id else None
        if known is None:
            raise NotFound(
                f"there is no set of mutations {mutation_id[:64]!r}",
                field="mutation_id",
                hint="those that were applied or discarded are forgotten after systems.writeahead.status_kept",
            )
        return known

    async def _dead(self, mutation_id: str) -> Known:
        known = await self._found(mutation_id)
        if known.status.state != "dead":
            raise PreconditionFailed(f"the set {mutation_id} is {known.status.state}, not dead", hint="see its status")
        return known


async def open_journal(context: ServiceContext, target: str) -> Journal:
    """The journal of the system `target`, for its own service. Not to be called while that is being started.

    Raises `InvalidArgument` where the stage has no log to write ahead to.
    """
    service = await context.used(SYSTEM)
    if not isinstance(service, WriteAheadService):
        raise InvalidArgument("the stage has no write-ahead log", hint="leave the system in the catalogue")
    return service.journal(target)


def _told(mutation_id: str, status: Status) -> MutationStatus:
    problem = status.problem
    return MutationStatus(
        mutation_id=mutation_id,
        target=status.target,
        state=status.state,
        mutations=status.count,
        applied=status.applied,
        idempotency_token=IdempotencyToken(Instant.from_us(status.time_us), status.token),
        accepted_at=Instant.from_us(status.accepted_us),
        apply_at=Instant.from_us(status.due_us) if status.due_us else None,
        tries=status.tries,
        next_try_at=Instant.from_us(status.next_us) if status.state == "pending" else None,
        died_at=Instant.from_us(status.next_us) if status.state == "dead" else None,
        problem=None if problem is None else MutationProblem(code=problem.code, detail=problem.detail),
    )


SERVICE = WriteAheadService
