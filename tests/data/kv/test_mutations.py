"""Sets of mutations: what is refused at once, what is accepted, and what is there in the end."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.data.kv.conftest import ALL, Clock, OpenStage, between, item, keys, make, served, values

from soundstage.core.call import Call, Principal
from soundstage.core.environment import Environment, VirtualEnvironment
from soundstage.core.errors import (
    Exhausted,
    Forbidden,
    InvalidArgument,
    NotFound,
    SoundstageError,
    TokenDrift,
    TokenReused,
    TooLarge,
    Unavailable,
)
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.core.namespace import NamespaceSpec, Quotas
from soundstage.data.kv import DeleteMutation, KeyValue, Mutation, Predicate, PutItem, PutMutation
from soundstage.data.kv.api import MutateItems, MutateItemsReply
from soundstage.data.kv.service import KeyValueService
from soundstage.data.writeahead import MutationStatus, WriteAhead
from soundstage.data.writeahead.worker import Worker
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Batch
from soundstage.engines.records.refusals import decided_elsewhere
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage


def put(*items: PutItem, namespace: str = "people", id: str = "ada") -> Mutation:
    return Mutation(put=PutMutation(namespace=namespace, id=id, items=list(items)))


def delete(predicate: Predicate = ALL, namespace: str = "people", id: str = "ada") -> Mutation:
    return Mutation(delete=DeleteMutation(namespace=namespace, id=id, predicate=predicate))


class Applier:
    """Does what the role `kv-mutations` does, when it is told to."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._worker: Worker | None = None

    async def work(self) -> None:
        """Everything that can be done now is."""
        if self._worker is None:
            service = await self._stage.systems.started("kv")
            assert isinstance(service, KeyValueService)
            self._worker = Worker(*await service.mutations.journal())
        while await self._worker.round():
            pass

    async def later(self, seconds: float) -> None:
        """Everything that can be done by then is, look by look."""
        environment = self._stage.environment
        assert isinstance(environment, VirtualEnvironment)
        for _ in range(50):
            environment.advance(seconds / 50)
            await self.work()


class Downs(MemoryRecords):
    """Writes to the tables in `down` fail."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.down: set[str] = set()
        self.written: list[str] = []

    async def apply(self, table: str, partition: bytes, batch: Batch, **named: Any) -> int:
        if table in self.down:
            raise Unavailable(f"{table} is down", outcome="not_applied")
        if table.startswith("kv/"):
            self.written.append(table)
        return await super().apply(table, partition, batch, **named)


@pytest.fixture
def applier(stage: Stage) -> Applier:
    return Applier(stage)


async def status(stage: Stage, reply: MutateItemsReply) -> MutationStatus:
    return await stage.client(WriteAhead).status(mutation_id=reply.mutation_id)


async def test_accepted_mutations_are_applied(stage: Stage, kv: KeyValue, applier: Applier) -> None:
    await make(stage, "films")
    reply = await kv.mutate_items(mutations=[put(item(b"name", b"Ada")), put(item(b"x", b"1"), namespace="films")])
    assert (await kv.get_items(id="ada")).items == []
    await applier.work()
    assert values((await kv.get_items(id="ada")).items) == {b"name": b"Ada"}
    assert values((await stage.client(KeyValue, "films").get_items(id="ada")).items) == {b"x": b"1"}
    assert (await status(stage, reply)).state == "applied"


async def test_mutations_of_one_record_are_applied_in_their_order(kv: KeyValue, applier: Applier) -> None:
    numbered = [put(item(b"k", str(number).encode()), item(str(number).encode())) for number in range(9)]
    await kv.mutate_items(mutations=[*numbered, delete(keys(b"3")), delete(between(b"5", b"7"))])
    await applier.work()
    found = values((await kv.get_items(id="ada")).items)
    assert set(found) == {b"k", b"0", b"1", b"2", b"4", b"7", b"8"}
    assert found[b"k"] == b"8"


async def test_a_delete_hides_what_was_put_before_it_in_the_set_and_not_what_follows(
    kv: KeyValue, applier: Applier
) -> None:
    await kv.mutate_items(mutations=[put(item(b"a")), delete(), put(item(b"b"))])
    await applier.work()
    assert set(values((await kv.get_items(id="ada")).items)) == {b"b"}


async def test_each_mutation_is_a_write_of_its_own_token_and_time(kv: KeyValue, applier: Applier, clock: Clock) -> None:
    token = clock.token(text="tok")
    await kv.mutate_items(mutations=[put(item(b"a")), put(item(b"b"))], idempotency_token=token)
    await applier.work()
    found = [each.metadata.token for each in (await kv.get_items(id="ada")).items]
    us = token.generation_time.us
    wanted = [
        IdempotencyToken(Instant.from_us(us), "tok/0"),
        IdempotencyToken(Instant.from_us(us + 1), "tok/1"),
    ]
    assert found == wanted


async def test_a_write_after_acceptance_wins_though_it_is_applied_before(kv: KeyValue, applier: Applier) -> None:
    await kv.mutate_items(mutations=[put(item(b"k", str(number).encode())) for number in range(1_000)])
    await kv.put_items(id="ada", items=[item(b"k", b"mine")])
    await applier.work()
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"mine"}


async def test_a_client_that_names_its_writes_itself_is_not_beaten_by_its_own_set(
    stage: Stage, kv: KeyValue, applier: Applier
) -> None:
    mine = kv.with_options(retries=1)
    await mine.mutate_items(mutations=[put(item(b"k", str(number).encode())) for number in range(1_000)])
    await mine.put_items(id="ada", items=[item(b"k", b"mine")])
    await applier.work()
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"mine"}


async def test_a_set_beats_what_its_namespaces_have_seen(kv: KeyValue, applier: Applier, clock: Clock) -> None:
    await kv.put_items(id="ada", items=[item(b"k", b"fast clock")], idempotency_token=clock.token(at=1_900_000))
    await kv.mutate_items(mutations=[put(item(b"k", b"set"))])
    await applier.work()
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"set"}


async def test_the_time_to_live_of_an_item_counts_from_its_mutation(
    kv: KeyValue, applier: Applier, environment: VirtualEnvironment
) -> None:
    await kv.mutate_items(mutations=[put(item(b"k", ttl="10s"))])
    environment.advance(9)
    await applier.work()
    assert len((await kv.get_items(id="ada")).items) == 1
    environment.advance(1.001)
    assert (await kv.get_items(id="ada")).items == []


async def test_a_repetition_changes_nothing(kv: KeyValue, applier: Applier, clock: Clock) -> None:
    token = clock.token()
    first = await kv.mutate_items(mutations=[put(item(b"k", b"1"))], idempotency_token=token)
    await applier.work()
    await kv.put_items(id="ada", items=[item(b"k", b"2")])
    assert await kv.mutate_items(mutations=[put(item(b"k", b"1"))], idempotency_token=token) == first
    await applier.work()
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"2"}


async def test_another_set_under_the_token_is_refused(kv: KeyValue, clock: Clock) -> None:
    token = clock.token()
    await kv.mutate_items(mutations=[put(item(b"k", b"1"))], idempotency_token=token)
    with pytest.raises(TokenReused):
        await kv.mutate_items(mutations=[put(item(b"k", b"2"))], idempotency_token=token)


async def test_a_set_without_a_token_gets_one(kv: KeyValue) -> None:
    first = await kv.mutate_items(mutations=[put(item(b"k"))])
    second = await kv.mutate_items(mutations=[put(item(b"k"))])
    assert first.mutation_id != second.mutation_id
    assert second.idempotency_token.generation_time > first.idempotency_token.generation_time


async def test_the_reply_names_the_token_in_whole_microseconds(kv: KeyValue, clock: Clock) -> None:
    given = clock.token()
    token = IdempotencyToken(Instant(given.generation_time + 999), given.token)
    reply = await kv.mutate_items(mutations=[put(item(b"k"))], idempotency_token=token)
    assert reply.idempotency_token == given


REFUSED: list[tuple[list[Mutation], type[SoundstageError], str, str]] = [
    ([], InvalidArgument, "mutations", "is empty"),
    ([put(item(b"k"))] * 1_001, TooLarge, "mutations", "1001 entries"),
    ([put(item(b"k")), Mutation()], InvalidArgument, "mutations[1]", "is empty"),
    (
        [Mutation(put=put(item(b"k")).put, delete=delete().delete)],
        InvalidArgument,
        "mutations[0]",
        "has both put and delete",
    ),
    ([put(item(b"k")), put(item(b"k"), namespace="nowhere")], NotFound, "mutations[1].put.namespace", "no namespace"),
    ([delete(namespace="nowhere")], NotFound, "mutations[0].delete.namespace", "no namespace"),
    ([put(item(b"k"), id="")], InvalidArgument, "mutations[0].put.id", "is empty"),
    ([delete(id="x" * 1_025)], InvalidArgument, "mutations[0].delete.id", "1025 bytes"),
    ([put()], InvalidArgument, "mutations[0].put.items", "is empty"),
    ([put(item(b"k"), item(b"k"))], InvalidArgument, "mutations[0].put.items[1].key", "same key"),
    ([put(item(b"k" * 4_097))], InvalidArgument, "mutations[0].put.items[0].key", "4097 bytes"),
    ([put(item(b"k", bytes((4 << 20) + 1)))], TooLarge, "mutations[0].put.items", "the limit is"),
    ([put(item(b"k", ttl="1us"))], InvalidArgument, "mutations[0].put.items[0].ttl", "out of bounds"),
    ([delete(Predicate())], InvalidArgument, "mutations[0].delete.predicate", "is empty"),
    ([delete(keys())], InvalidArgument, "mutations[0].delete.predicate.match_keys.keys", "no key"),
    ([put(item(b"k", bytes(1 << 20)))] * 5, TooLarge, "mutations", "the limit is"),
]


@pytest.mark.parametrize(("mutations", "error", "field", "detail"), REFUSED)
async def test_what_can_never_be_applied_is_refused_with_its_place(
    plain: KeyValue, mutations: list[Mutation], error: type[SoundstageError], field: str, detail: str
) -> None:
    with pytest.raises(error, match=re.escape(detail)) as caught:
        await plain.mutate_items(mutations=mutations)
    assert caught.value.field == field


async def test_of_a_set_that_is_refused_nothing_is_applied(plain_stage: Stage, plain: KeyValue) -> None:
    with pytest.raises(InvalidArgument):
        await plain.mutate_items(mutations=[put(item(b"k")), put()])
    await Applier(plain_stage).work()
    assert (await plain.get_items(id="ada")).items == []


@pytest.mark.parametrize("at", [-600_000_001, 2_000_001])
async def test_a_token_that_drifts_too_far_is_refused(plain: KeyValue, clock: Clock, at: int) -> None:
    with pytest.raises(TokenDrift):
        await plain.mutate_items(mutations=[put(item(b"k"))], idempotency_token=clock.token(at=at))


async def test_every_namespace_admits_the_token(plain_stage: Stage, plain: KeyValue, clock: Clock) -> None:
    await make(plain_stage, "strict", drift_past="1s")
    await plain.mutate_items(mutations=[put(item(b"k"))], idempotency_token=clock.token(at=-5_000_000))
    with pytest.raises(TokenDrift):
        await plain.mutate_items(
            mutations=[put(item(b"k")), put(item(b"k"), namespace="strict")],
            idempotency_token=clock.token(at=-5_000_000),
        )


async def test_a_token_leaves_room_for_the_numbers_of_the_mutations(plain: KeyValue, clock: Clock) -> None:
    with pytest.raises(InvalidArgument, match="the limit is 60"):
        await plain.mutate_items(mutations=[put(item(b"k"))], idempotency_token=clock.token(text="x" * 61))


async def test_a_delayed_set_is_a_write_of_the_time_it_is_due(
    stage: Stage, kv: KeyValue, applier: Applier, environment: VirtualEnvironment
) -> None:
    due = Instant.from_us(environment.now_us() + 3_600_000_000)
    reply = await kv.mutate_items(mutations=[put(item(b"k", b"late"))], apply_at=due)
    assert reply.idempotency_token.generation_time == due
    await applier.later(1_800)
    await kv.put_items(id="ada", items=[item(b"k", b"meanwhile")])
    assert (await status(stage, reply)).next_try_at == due
    await applier.later(1_900)
    found = (await kv.get_items(id="ada")).items
    assert values(found) == {b"k": b"late"}
    assert found[0].metadata.token.generation_time == due


async def test_a_delayed_set_can_be_called_off(stage: Stage, kv: KeyValue, applier: Applier) -> None:
    due = Instant.from_us(stage.environment.now_us() + 60_000_000)
    reply = await kv.mutate_items(mutations=[put(item(b"k"))], apply_at=due)
    await applier.work()
    assert (await stage.client(WriteAhead).discard(mutation_id=reply.mutation_id)).state == "discarded"
    await applier.later(120)
    assert (await kv.get_items(id="ada")).items == []


async def test_a_set_is_not_delayed_to_the_past(kv: KeyValue, applier: Applier, clock: Clock) -> None:
    token = clock.token()
    earlier = Instant(token.generation_time - 1_000_000)
    reply = await kv.mutate_items(mutations=[put(item(b"k"))], apply_at=earlier, idempotency_token=token)
    await applier.work()
    assert reply.idempotency_token == token
    assert len((await kv.get_items(id="ada")).items) == 1


async def test_a_repeated_delayed_set_is_the_same_even_after_it_was_due(
    kv: KeyValue, applier: Applier, environment: VirtualEnvironment, clock: Clock
) -> None:
    token, due = clock.token(), Instant.from_us(environment.now_us() + 5_000_000)
    first = await kv.mutate_items(mutations=[put(item(b"k"))], apply_at=due, idempotency_token=token)
    await applier.later(30)
    assert await kv.mutate_items(mutations=[put(item(b"k"))], apply_at=due, idempotency_token=token) == first


async def test_a_set_may_not_be_delayed_for_ever(plain: KeyValue, environment: VirtualEnvironment) -> None:
    due = Instant.from_us(environment.now_us() + 31 * 86_400_000_000)
    with pytest.raises(InvalidArgument, match="30d ahead") as caught:
        await plain.mutate_items(mutations=[put(item(b"k"))], apply_at=due)
    assert caught.value.field == "apply_at"


async def test_three_namespaces_of_which_one_is_down_are_whole_in_the_end(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    stage = await open_stage(engine := Downs(environment))
    names = ("one", "two", "three")
    clients = [await make(stage, name) for name in names]
    engine.down.add("kv/two")
    kv, applier = stage.client(KeyValue), Applier(stage)
    reply = await kv.mutate_items(mutations=[put(item(b"k", name.encode()), namespace=name) for name in names])
    others = await kv.mutate_items(mutations=[put(item(b"o"), namespace=name) for name in ("one", "three")])
    await applier.later(120)
    waiting = await status(stage, reply)
    assert (waiting.state, waiting.applied) == ("pending", 1)
    assert waiting.problem is not None
    assert waiting.problem.code == "unavailable"
    assert (await status(stage, others)).state == "applied"
    engine.down.clear()
    await applier.later(120)
    assert (await status(stage, reply)).state == "applied"
    found = [values((await client.get_items(id="ada")).items).get(b"k") for client in clients]
    assert found == [b"one", b"two", b"three"]
    assert engine.written == ["kv/one", "kv/one", "kv/three", "kv/two", "kv/three"]


async def test_a_set_too_old_for_its_namespace_is_dead_until_it_is_replayed_with_another_token(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    stage = await open_stage(engine := Downs(environment))
    people = await make(stage, "people")
    engine.down.add("kv/people")
    applier, ahead = Applier(stage), stage.client(WriteAhead)
    reply = await people.mutate_items(mutations=[put(item(b"k"))])
    await applier.later(590)
    assert (await status(stage, reply)).state == "pending"
    engine.down.clear()
    environment.advance(60)
    await applier.work()
    died = await status(stage, reply)
    assert died.problem is not None
    assert (died.state, died.problem.code) == ("dead", "token_drift")
    replayed = await ahead.replay(mutation_id=reply.mutation_id, retoken=True)
    await applier.work()
    assert (await status(stage, reply)).state == "applied"
    found = (await people.get_items(id="ada")).items
    assert found[0].metadata.token.token == f"{replayed.idempotency_token.token}/0"


async def test_a_set_for_a_namespace_that_was_deleted_is_dead(stage: Stage, kv: KeyValue, applier: Applier) -> None:
    reply = await kv.mutate_items(mutations=[put(item(b"k"))])
    await stage.client(Namespaces).delete(name="people")
    await applier.later(60)
    died = await status(stage, reply)
    assert died.problem is not None
    assert (died.state, died.problem.code) == ("dead", "not_found")


async def test_a_namespace_of_the_same_name_gets_nothing_that_was_for_the_one_before(
    stage: Stage, kv: KeyValue, applier: Applier
) -> None:
    reply = await kv.mutate_items(mutations=[put(item(b"k"))])
    await stage.client(Namespaces).delete(name="people")
    people = await make(stage, "people")
    await applier.later(60)
    assert (await people.get_items(id="ada")).items == []
    assert (await status(stage, reply)).state == "dead"


@pytest.mark.parametrize("threshold", ["1KiB", "1MiB"])
async def test_a_large_value_lies_in_chunks_where_it_is_too_large_when_it_is_applied(
    plain_stage: Stage, plain: KeyValue, threshold: str
) -> None:
    await plain.mutate_items(mutations=[put(item(b"k", bytes(4_096)))])
    await make(plain_stage, "people", chunk_threshold=threshold)
    await Applier(plain_stage).work()
    assert values((await plain.get_items(id="ada")).items) == {b"k": bytes(4_096)}


async def test_a_set_has_large_values_for_eventual_namespaces_too(plain_stage: Stage) -> None:
    kv = await make(plain_stage, "people", consistency="eventual", conditional_writes=False)
    large = bytes((1 << 20) + 1)
    await kv.mutate_items(mutations=[put(item(b"k", large))])
    await Applier(plain_stage).work()
    assert values((await kv.get_items(id="ada")).items) == {b"k": large}


class Elsewhere(Downs):
    """Writes to the tables that are `down` are decided in a data centre that this process does not ask."""

    async def apply(self, table: str, partition: bytes, batch: Batch, **named: Any) -> int:
        if table in self.down:
            raise decided_elsewhere(table, "oslo")
        return await super().apply(table, partition, batch, **named)


async def test_a_set_that_is_decided_in_another_data_centre_waits_until_it_is_applied_from_there(
    open_stage: OpenStage, environment: VirtualEnvironment
) -> None:
    stage = await open_stage(engine := Elsewhere(environment))
    people, applier = await make(stage, "people"), Applier(stage)
    engine.down.add("kv/people")
    reply = await people.mutate_items(mutations=[put(item(b"k", b"v"))])
    await applier.later(120)
    waiting = await status(stage, reply)
    assert waiting.problem is not None
    assert (waiting.state, "'oslo' alone" in waiting.problem.detail) == ("pending", True)
    engine.down.clear()
    await applier.later(120)
    assert values((await people.get_items(id="ada")).items) == {b"k": b"v"}


ADA = Principal("ada", {"people": ("write",)}, "1")


async def test_a_caller_needs_write_on_every_namespace(plain_stage: Stage, plain: KeyValue) -> None:
    await make(plain_stage, "films")
    allowed = MutateItems(mutations=[put(item(b"k"))])
    await plain_stage.dispatch("kv", "mutate_items", Call(principal=ADA), allowed)
    refused = MutateItems(mutations=[put(item(b"k")), put(item(b"k"), namespace="films")])
    with pytest.raises(Forbidden, match="films"):
        await plain_stage.dispatch("kv", "mutate_items", Call(principal=ADA), refused)


async def test_callers_who_use_the_same_token_do_not_meet(plain_stage: Stage, plain: KeyValue, clock: Clock) -> None:
    token = clock.token()
    mine = await plain.mutate_items(mutations=[put(item(b"k", b"1"))], idempotency_token=token)
    request = MutateItems(mutations=[put(item(b"k", b"2"))], idempotency_token=token)
    theirs = await plain_stage.dispatch("kv", "mutate_items", Call(principal=ADA), request)
    assert theirs.mutation_id != mine.mutation_id


async def test_a_stage_without_a_log_says_what_to_name(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    stage = await open_stage("rocksdb")
    await make(stage, "people")
    del stage.engines._by_port["log"]["default"]
    with pytest.raises(InvalidArgument) as caught:
        await stage.client(KeyValue).mutate_items(mutations=[put(item(b"k"))])
    assert caught.value.field == "systems.writeahead.log"


async def test_the_clock_of_a_namespace_goes_past_all_ticks_of_a_set(plain_stage: Stage, plain: KeyValue) -> None:
    reply = await plain.mutate_items(mutations=[put(item(b"k"))] * 1_000)
    assert served(plain_stage).clock.last_us == reply.idempotency_token.generation_time.us + 999


async def limited(stage: Stage, name: str, writes: float) -> KeyValue:
    spec = NamespaceSpec(name=name, abstraction="kv", quotas=Quotas(writes_per_second=writes))
    await stage.client(Namespaces).put(namespace=spec)
    return stage.client(KeyValue, name)


async def test_mutations_count_against_the_quota_of_their_namespace(stage: Stage, kv: KeyValue) -> None:
    small = await limited(stage, "small", 1)
    await kv.mutate_items(mutations=[put(item(b"k"), namespace="small", id=str(number)) for number in range(3)])
    with pytest.raises(Exhausted, match="'small' is over its quota writes_per_second") as caught:
        await small.put_items(id="ada", items=[item(b"k")])
    assert caught.value.retry_after_ms == 3_000


async def test_a_set_is_refused_whole_where_one_of_its_namespaces_has_nothing_left(
    stage: Stage, kv: KeyValue, applier: Applier
) -> None:
    await limited(stage, "first", 1)
    small = await limited(stage, "small", 1)
    await small.put_items(id="ada", items=[item(b"k")])
    both = [put(item(b"k"), namespace=name) for name in ("first", "small", "people")]
    with pytest.raises(Exhausted):
        await kv.mutate_items(mutations=both)
    await applier.work()
    assert (await kv.count_items(id="ada")).count == 0
    # Nothing was taken of the other one.
    await stage.client(KeyValue, "first").put_items(id="ada", items=[item(b"k")])


async def test_a_set_that_is_sent_again_counts_once(stage: Stage, kv: KeyValue) -> None:
    small = await limited(stage, "small", 1)
    mutations = [put(item(b"k"), namespace="small")]
    token = (await kv.mutate_items(mutations=mutations)).idempotency_token
    # There is nothing left, and nothing is needed.
    await kv.mutate_items(mutations=mutations, idempotency_token=token)
    with pytest.raises(TokenReused):
        await kv.mutate_items(mutations=[*mutations, *mutations], idempotency_token=token)
    with pytest.raises(Exhausted) as caught:
        await small.put_items(id="ada", items=[item(b"k")])
    assert caught.value.retry_after_ms == 1_000


async def test_a_set_that_is_refused_for_good_takes_nothing_of_a_quota(stage: Stage, kv: KeyValue) -> None:
    small = await limited(stage, "small", 1)
    with pytest.raises(NotFound):
        await kv.mutate_items(mutations=[put(item(b"k"), namespace="small"), put(item(b"k"), namespace="none")])
    await small.put_items(id="ada", items=[item(b"k")])
