"""Acceptance: a row that says so, one append, and the answer. What was accepted is going to be applied.

1. The set's status is created `accepting`, with the digest of what was submitted.
2. The set is appended to the log, whole, its completion marker last.
3. Its status is `accepted`, and its caller answered.

A crash between these leaves a set that its caller has not been told of. Submitted again it goes on from where it was:
twice in the log does no harm, as who applies it looks at its status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from soundstage.core.environment import Environment
from soundstage.core.errors import PreconditionFailed, Unavailable
from soundstage.data.writeahead.config import SystemConfig
from soundstage.data.writeahead.ledger import Known, Ledger, Status
from soundstage.data.writeahead.pieces import entries_of
from soundstage.data.writeahead.room import Room
from soundstage.data.writeahead.sets import accepted_set, check, digest_of, encode, mutation_id_of
from soundstage.data.writeahead.tally import Tally
from soundstage.data.writeahead.target import Submission
from soundstage.engines.log.port import Log, TopicSpec
from soundstage.engines.records.refusals import token_reused

PARTITIONS = 4
"""Of a topic; fixed when it is made."""

RACES_MAX = 8
"""Times that another may change a status between a look at it and a write."""


class Journal:
    """The sets of one target: submitted here, worked off by a `Worker`. `opened` is set once its topic exists."""

    def __init__(self, target: str, log: Log, ledger: Ledger, config: SystemConfig, environment: Environment) -> None:
        self.target = target
        self.topic: str = f"writeahead/{target}"
        self.log: Log = log
        self.ledger: Ledger = ledger
        self.config: SystemConfig = config
        self.environment: Environment = environment
        self.tally: Tally = Tally(target)
        self.room: Room = Room(target, self.topic, log, ledger, config, environment)
        self.opened: asyncio.Event = asyncio.Event()

    async def submit(
        self, submission: Submission, deadline_ns: int | None = None, admit: Callable[[], None] | None = None
    ) -> str:
        """The set is accepted, durably: it is going to be applied, in its order. Returns its name, the mutation id.

        Submitted again under its token it is accepted once; another set under the token is `TokenReused`. `admit` is
        asked before a set that is not known yet leaves a trace, and may refuse it by what it raises. Raises
        `InvalidArgument` and `TooLarge` for a set that is none, `Exhausted` for one that is not known while too many
        wait, and what the log raises.
        """
        check(submission)
        await self._open()
        mutation_id = mutation_id_of(self.target, submission.scope, submission.token)
        encoded = encode(accepted_set(submission, self.environment.now_us()))
        known = await self._claim(mutation_id, submission, admit)
        if known.status.state == "accepting":
            append = self.environment.random.getrandbits(32)
            entries = entries_of(mutation_id, encoded, known.status.digest, append)
            await self.log.append(self.topic, entries, deadline_ns=deadline_ns)
            await self._accept(mutation_id, known)
            self.tally.count("accepted")
        return mutation_id

    async def exists(self) -> bool:
        """Whether any set was ever submitted, here or elsewhere: whether there is a topic."""
        if not self.opened.is_set() and any(spec.name == self.topic for spec in await self.log.topics()):
            await self._open()
        return self.opened.is_set()

    async def _open(self) -> None:
        if not self.opened.is_set():
            await self.ledger.create()
            retention_us = self.config.log_retention.us
            await self.log.create_topic(TopicSpec(name=self.topic, partitions=PARTITIONS, retention_us=retention_us))
            self.opened.set()

    async def _claim(self, mutation_id: str, submission: Submission, admit: Callable[[], None] | None) -> Known:
        """The status of the set, which exists from now on. Raises `TokenReused` where it is of another set."""
        digest, admitted = digest_of(submission), False
        for _ in range(RACES_MAX):
            known = await self.ledger.find(mutation_id)
            if known is not None:
                if known.status.digest != digest:
                    raise token_reused(submission.token)
                return known
            if not admitted:
                await self.room.check(submission.places)
                if admit is not None:
                    admit()
                self.room.take(submission.places)
                # Whoever looks again has been asked already.
                admitted = True
            try:
                return await self.ledger.write(mutation_id, self._first(submission, digest), None)
            except PreconditionFailed:
                # The same call came twice at once.
                continue
        raise _contended()

    async def _accept(self, mutation_id: str, known: Known) -> None:
        """The status says that the log has the set, unless it says more already."""
        while known.status.state == "accepting":
            try:
                await self.ledger.write(mutation_id, known.status.now("accepted"), known.stamp)
                return
            except PreconditionFailed:
                found = await self.ledger.find(mutation_id)
                if found is None:
                    return
                known = found

    def _first(self, submission: Submission, digest: bytes) -> Status:
        now_us = self.environment.now_us()
        return Status(
            target=self.target,
            state="accepting",
            digest=digest,
            count=len(submission.mutations),
            token=submission.token,
            time_us=max(submission.time_us, submission.due_us),
            accepted_us=now_us,
            due_us=submission.due_us,
            since_us=max(now_us, submission.due_us),
        )


def _contended() -> Unavailable:
    return Unavailable(
        "the status of the set is changed by others again and again", hint="repeat the call", outcome="not_applied"
    )
