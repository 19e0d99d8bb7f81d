"""Sets of mutations by way of servers with a cache: accepted by one, and applied by whichever works them off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from soundstage.core.errors import TokenDrift
from soundstage.core.message import IdempotencyToken
from soundstage.data.kv import api
from soundstage.data.writeahead.api import GetStatus, MutationStatus
from soundstage.testing.simulation.caches.book import NOBODY, Author, Write, Written, deleted, put
from soundstage.testing.simulation.caches.crew import ANSWER_S, KNOWN, Crew
from soundstage.testing.simulation.caches.server import NAMESPACE, Server
from soundstage.testing.simulation.scenario import Divergence
from soundstage.testing.simulation.turn import dice

MUTATIONS_MAX = 3
TRIES = 6
RETRY_S = 0.2
SETTLE_TRIES = 60

GHOST = Author(NOBODY, 0)
"""Who acknowledges what nobody knows the author of: no reader is answered by it."""


class _Set(NamedTuple):
    """A set that was submitted: its request, and its mutations in their order, each with the record it is of."""

    request: api.MutateItems
    writes: list[tuple[str, Write]]


class MutationSets:
    """Submits sets of mutations, has them applied, and knows of which everybody must see that they are."""

    def __init__(self, crew: Crew, records: Sequence[str], keys: Sequence[bytes]) -> None:
        self._crew = crew
        self._records = records
        self._keys = keys
        self._working = asyncio.Lock()
        self._at_large: set[Author] = set()
        self._accepted: dict[str, _Set] = {}

    async def play(self, number: int, clock: Any, accepts: Server, applies: Server) -> None:
        """A set is accepted by one server and applied by the other, or nobody knows."""
        made = self._made(number, clock)
        for record, write in made.writes:
            self._crew.book.begin(record, write)
        mutation_id = await self._accept(accepts, made)
        if mutation_id is None:
            return
        self._accepted[mutation_id] = made
        self._crew.site.note("accepted")
        async with self._working:
            await self._apply(applies, mutation_id, made)

    async def _accept(self, server: Server, made: _Set) -> str | None:
        for _ in range(TRIES):
            try:
                reply, _ = await self._crew.within(server.call("mutate_items", made.request, ANSWER_S))
            except KNOWN:
                await self._crew.site.environment.sleep(RETRY_S)
                continue
            return reply.mutation_id
        return None

    async def _apply(self, server: Server, mutation_id: str, made: _Set) -> None:
        """Of what one server has applied alone it is known who has told the cache."""
        author = server.author
        self._at_large = {each for each in self._at_large if self._crew.servers[each.server].author == each}
        alone = not self._at_large
        self._at_large.add(author)
        try:
            await self._crew.within(server.work_off())
            status = await self._status(server, mutation_id)
        except KNOWN:
            return
        if author != server.author:
            return
        self._at_large.discard(author)
        if not (alone and status.state == "applied"):
            return
        for record, write in made.writes:
            told = self._crew.has_told(author, record)
            self._crew.book.acknowledge(record, write, author, self._crew.now_s, told=told)
        self._crew.site.note("applied")

    async def settle(self) -> None:
        """All that was accepted is applied, unless it has waited until it was too old."""
        server, left = self._crew.servers[0], list(self._accepted)
        for _ in range(SETTLE_TRIES):
            await server.work_off()
            left = [each for each in left if not await self._is_over(server, each)]
            if not left:
                break
            await self._crew.site.environment.sleep(1.0)
        if left:
            raise Divergence(f"the sets {left} were accepted and are not applied")
        for made in self._accepted.values():
            for record, write in made.writes:
                self._crew.book.acknowledge(record, write, GHOST, self._crew.now_s, told=False)

    async def _is_over(self, server: Server, mutation_id: str) -> bool:
        """Whether nothing of the set is to come. Of one that died by its age nobody can say what is there."""
        status = await self._status(server, mutation_id)
        if status.state == "dead":
            if status.problem is None or status.problem.code != TokenDrift.code:
                raise Divergence(f"the set {mutation_id} is {status}")
            self._accepted.pop(mutation_id, None)
        return status.state in ("applied", "dead")

    async def _status(self, server: Server, mutation_id: str) -> MutationStatus:
        request = GetStatus(mutation_id=mutation_id)
        reply, _ = await self._crew.within(server.call("status", request, ANSWER_S, "writeahead"))
        return reply

    def _made(self, number: int, clock: Any) -> _Set:
        count = dice().randint(1, MUTATIONS_MAX)
        token: IdempotencyToken = clock.token(count)
        mutations: list[api.Mutation] = []
        writes: list[tuple[str, Write]] = []
        for index in range(count):
            record = dice().choice(self._records)
            keys = tuple(dice().sample(self._keys, dice().randint(1, len(self._keys))))
            time_us, name = token.generation_time.us + index, f"{token.token}/{index}"
            mutation, versions = self._mutation(record, keys, b"%d/%d" % (number, index), time_us, name)
            mutations.append(mutation)
            writes.append((record, Write(NOBODY, self._crew.now_s, versions)))
        return _Set(api.MutateItems(mutations=mutations, idempotency_token=token), writes)

    def _mutation(
        self, record: str, keys: Sequence[bytes], value: bytes, time_us: int, name: str
    ) -> tuple[api.Mutation, dict[bytes, Written]]:
        where: dict[str, Any] = {"namespace": NAMESPACE, "id": record}
        kind = dice().choice(("put", "put", "delete", "clear"))
        if kind == "put":
            items = [api.PutItem(key=key, value=value) for key in keys]
            mutation = api.Mutation(put=api.PutMutation(**where, items=items))
            return mutation, {key: put(time_us, name, 0, value) for key in keys}
        gone = deleted(time_us, name)
        if kind == "delete":
            predicate = api.Predicate(match_keys=api.MatchKeys(keys=list(keys)))
            return api.Mutation(delete=api.DeleteMutation(**where, predicate=predicate)), dict.fromkeys(keys, gone)
        predicate = api.Predicate(match_all=api.MatchAll())
        return api.Mutation(delete=api.DeleteMutation(**where, predicate=predicate)), dict.fromkeys(self._keys, gone)
