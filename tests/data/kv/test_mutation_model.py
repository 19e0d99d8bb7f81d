"""Sets among other writes, with stores that are down and processes that die, against a plain model of versions."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.kv.conftest import ALL, item, keys, make
from tests.data.kv.test_mutations import Applier, Downs, delete, put

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.data.kv import KeyValue, Mutation
from soundstage.data.writeahead import WriteAhead
from soundstage.runtime.stage import Stage

NAMESPACES = ("one", "two", "three")
IDS = ("a", "b")
KEYS = (b"x", b"y")


class Written(NamedTuple):
    """A version, ordered as the store orders them."""

    time_us: int
    kind: int
    token: str
    value: bytes


class Model:
    """The greatest version of every item, and of every record's tombstone."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str, bytes], Written] = {}
        self.tombs: dict[tuple[str, str], Written] = {}

    def apply(self, mutation: Mutation, time_us: int, token: str) -> None:
        if mutation.put is not None:
            for each in mutation.put.items:
                self._raise((mutation.put.namespace, mutation.put.id, each.key), Written(time_us, 0, token, each.value))
            return
        assert mutation.delete is not None
        record, tomb = (mutation.delete.namespace, mutation.delete.id), Written(time_us, 1, token, b"")
        if mutation.delete.predicate.match_keys is None:
            self.tombs[record] = max(self.tombs.get(record, tomb), tomb)
            return
        for key in mutation.delete.predicate.match_keys.keys:
            self._raise((*record, key), tomb)

    def live(self, namespace: str, id: str) -> dict[bytes, bytes]:
        tomb = self.tombs.get((namespace, id), Written(0, 0, "", b""))
        return {
            key: found.value
            for key in KEYS
            if (found := self.items.get((namespace, id, key))) is not None and not found.kind and found > tomb
        }

    def _raise(self, place: tuple[str, str, bytes], version: Written) -> None:
        self.items[place] = max(self.items.get(place, version), version)


def one_put(namespace: str, id: str, key: bytes, value: bytes) -> Mutation:
    return put(item(key, value), namespace=namespace, id=id)


def one_delete(namespace: str, id: str, key: bytes | None) -> Mutation:
    return delete(ALL if key is None else keys(key), namespace=namespace, id=id)


def mutations() -> st.SearchStrategy[Mutation]:
    namespace, id = st.sampled_from(NAMESPACES), st.sampled_from(IDS)
    puts = st.builds(one_put, namespace, id, st.sampled_from(KEYS), st.binary(min_size=1, max_size=2))
    return puts | st.builds(one_delete, namespace, id, st.sampled_from([None, *KEYS]))


def acts() -> st.SearchStrategy[list[tuple[str, Any]]]:
    sets = st.lists(mutations(), min_size=1, max_size=5)
    return st.lists(
        st.one_of(
            st.tuples(st.just("submit"), st.tuples(sets, st.integers(-50, 50))),
            st.tuples(st.just("write"), mutations()),
            st.tuples(st.just("delay"), st.tuples(sets, st.integers(1, 60))),
            st.tuples(st.just("repeat"), st.integers(0, 9)),
            st.tuples(st.just("down"), st.sampled_from(NAMESPACES)),
            st.tuples(st.just("up"), st.sampled_from(NAMESPACES)),
            st.tuples(st.just("wait"), st.integers(0, 20)),
            st.tuples(st.just("die"), st.none()),
        ),
        max_size=15,
    )


class Run:
    """Plays acts on a stage and on the model."""

    def __init__(self, stage: Stage, engine: Downs, environment: VirtualEnvironment) -> None:
        self.kv = stage.client(KeyValue)
        self.model = Model()
        self.sent: list[tuple[dict[str, Any], str]] = []
        self._stage, self._engine, self._environment = stage, engine, environment
        self._applier = Applier(stage)

    async def submit(self, given: tuple[list[Mutation], int]) -> None:
        chosen, shift_us = given
        await self._send({"mutations": chosen}, self._token(shift_us))

    async def delay(self, given: tuple[list[Mutation], int]) -> None:
        chosen, seconds = given
        due = Instant.from_us(self._environment.now_us() + seconds * 1_000_000)
        await self._send({"mutations": chosen, "apply_at": due}, self._token(0))

    async def write(self, mutation: Mutation) -> None:
        """A write of its own, unless its store is down."""
        token = self._token(0)
        if mutation.put is not None:
            namespace = mutation.put.namespace
            fields: dict[str, Any] = {"items": mutation.put.items}
            call, id = self.kv.put_items, mutation.put.id
        else:
            assert mutation.delete is not None
            namespace = mutation.delete.namespace
            fields, id = {"predicate": mutation.delete.predicate}, mutation.delete.id
            call = self.kv.delete_items
        if f"kv/{namespace}" not in self._engine.down:
            await call(namespace=namespace, id=id, idempotency_token=token, **fields)
            self.model.apply(mutation, token.generation_time.us, token.token)

    async def repeat(self, number: int) -> None:
        if self.sent:
            request, mutation_id = self.sent[number % len(self.sent)]
            assert (await self.kv.mutate_items(**request)).mutation_id == mutation_id

    async def down(self, namespace: str) -> None:
        self._engine.down.add(f"kv/{namespace}")

    async def up(self, namespace: str) -> None:
        self._engine.down.discard(f"kv/{namespace}")

    async def wait(self, seconds: int) -> None:
        self._environment.advance(seconds)
        await self._applier.work()

    async def die(self, _: None) -> None:
        self._applier = Applier(self._stage)

    async def end(self) -> None:
        """All stores are there, and all that was accepted has been applied."""
        self._engine.down.clear()
        await self._applier.later(200)
        ahead = self._stage.client(WriteAhead)
        for _, mutation_id in self.sent:
            assert (await ahead.status(mutation_id=mutation_id)).state == "applied"
        for namespace in NAMESPACES:
            for id in IDS:
                found = (await self.kv.get_items(namespace=namespace, id=id)).items
                assert {each.key: each.value for each in found} == self.model.live(namespace, id)

    async def _send(self, request: dict[str, Any], token: IdempotencyToken) -> None:
        request["idempotency_token"] = token
        reply = await self.kv.mutate_items(**request)
        self.sent.append((request, reply.mutation_id))
        for index, mutation in enumerate(request["mutations"]):
            time_us = reply.idempotency_token.generation_time.us + index
            self.model.apply(mutation, time_us, f"{token.token}/{index}")

    def _token(self, shift_us: int) -> IdempotencyToken:
        time_us = self._environment.now_us() + shift_us
        return IdempotencyToken(Instant.from_us(time_us), f"{self._environment.random.getrandbits(32):08x}")


async def played(script: list[tuple[str, Any]]) -> None:
    environment = VirtualEnvironment(seed=1)
    engine = Downs(environment)
    async with Stage.open(data="memory:", engines={"default": engine}, environment=environment, variables={}) as stage:
        for name in NAMESPACES:
            await make(stage, name, drift_past="1d")
        run = Run(stage, engine, environment)
        for act, given_ in script:
            await getattr(run, act)(given_)
        await run.end()


@settings(max_examples=60, deadline=None)
@given(acts())
def test_whatever_happens_what_was_accepted_is_there_in_the_end(script: list[tuple[str, Any]]) -> None:
    asyncio.run(played(script))
