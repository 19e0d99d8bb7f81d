"""The operations: what is told of a set, and what is done about dead ones."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.data.writeahead.conftest import Shop, mutation

from soundstage.core.call import Call, Principal
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Forbidden, InvalidArgument, NotFound, PreconditionFailed, TokenDrift, Unavailable
from soundstage.data.writeahead import MutationStatus, Submission, WriteAhead
from soundstage.data.writeahead.api import Discard, GetDead, GetStatus, ListDead, ReplayDead
from soundstage.data.writeahead.ledger import Known, Ledger, dead, pending
from soundstage.data.writeahead.service import WriteAheadService
from soundstage.data.writeahead.worker import Worker
from soundstage.runtime.stage import Stage

BAD = InvalidArgument("never like this")


class Shopping:
    """A stage with the target `shop`, whose sets are worked off when a test says so."""

    def __init__(self, stage: Stage, service: WriteAheadService) -> None:
        self.stage = stage
        self.ahead = stage.client(WriteAhead)
        self.journal = service.journal("shop")
        self.ledger: Ledger = self.journal.ledger
        self.shop = Shop()
        self.worker = Worker(self.journal, self.shop)

    async def submit(self, *mutations: bytes, token: str = "t", due_s: float = 0) -> str:
        now_us = self.stage.environment.now_us()
        due_us = now_us + round(due_s * 1e6) if due_s else 0
        return await self.journal.submit(
            Submission(token=token, time_us=now_us, due_us=due_us, mutations=mutations or (mutation("1"),))
        )

    async def work(self) -> None:
        while await self.worker.round():
            pass

    async def killed(self, *mutations: bytes, token: str = "t") -> str:
        """A set that is dead, though nothing would keep it from being applied now."""
        self.shop.errors["a"] = BAD
        mutation_id = await self.submit(*mutations, token=token)
        await self.work()
        self.shop.errors.clear()
        return mutation_id

    async def status(self, mutation_id: str) -> MutationStatus:
        return await self.ahead.status(mutation_id=mutation_id)


@pytest.fixture(params=["memory", "rocksdb"])
async def shopping(
    request: pytest.FixtureRequest, environment: VirtualEnvironment, tmp_path: object
) -> AsyncIterator[Shopping]:
    embedded = {"url": f"rocksdb://{tmp_path}/database", "durability": "os"}
    engine = embedded if request.param == "rocksdb" else {"url": "memory:"}
    config = {"engines": {"default": engine}}
    async with Stage.open(data="memory:", config=config, environment=environment, variables={}) as stage:
        service = await stage.systems.started("writeahead")
        assert isinstance(service, WriteAheadService)
        yield Shopping(stage, service)


async def test_the_status_tells_how_a_set_fares(shopping: Shopping) -> None:
    mutation_id = await shopping.submit(mutation("1"), mutation("2"))
    accepted = await shopping.status(mutation_id)
    assert (accepted.state, accepted.target, accepted.mutations, accepted.applied) == ("accepted", "shop", 2, 0)
    assert accepted.idempotency_token.token == "t"
    await shopping.work()
    applied = await shopping.status(mutation_id)
    assert (applied.state, applied.applied, applied.accepted_at) == ("applied", 2, accepted.accepted_at)


async def test_the_status_tells_why_a_set_waits_and_until_when(shopping: Shopping) -> None:
    shopping.shop.errors["a"] = Unavailable("the shop is closed")
    mutation_id = await shopping.submit()
    await shopping.work()
    waiting = await shopping.status(mutation_id)
    assert (waiting.state, waiting.tries) == ("pending", 1)
    assert waiting.problem is not None
    assert (waiting.problem.code, waiting.problem.detail) == ("unavailable", "the shop is closed")
    assert waiting.next_try_at is not None
    assert waiting.next_try_at.us > shopping.stage.environment.now_us()


async def test_the_status_of_a_delayed_set_has_the_time_it_is_due(shopping: Shopping) -> None:
    mutation_id = await shopping.submit(due_s=60)
    await shopping.work()
    waiting = await shopping.status(mutation_id)
    assert waiting.apply_at == waiting.next_try_at == waiting.idempotency_token.generation_time


@pytest.mark.parametrize("mutation_id", ["", "f" * 32, "x", "é"])
async def test_a_set_that_is_not_known_is_not_found(shopping: Shopping, mutation_id: str) -> None:
    for ask in (shopping.ahead.status, shopping.ahead.get_dead, shopping.ahead.replay, shopping.ahead.discard):
        with pytest.raises(NotFound, match="no set of mutations") as caught:
            await ask(mutation_id=mutation_id)
        assert caught.value.field == "mutation_id"


async def test_dead_sets_are_listed_as_they_died(shopping: Shopping) -> None:
    ids: list[str] = []
    for number in range(5):
        ids.append(await shopping.killed(token=f"t{number}"))
        await shopping.stage.environment.sleep(1)
    await shopping.submit(token="alive")
    await shopping.work()
    assert [each.mutation_id for each in (await shopping.ahead.list_dead(target="shop")).sets] == ids


async def test_dead_sets_are_listed_page_by_page(shopping: Shopping) -> None:
    ids = {await shopping.killed(token=f"t{number}") for number in range(5)}
    pages = [page async for page in shopping.ahead.list_dead.pages(target="shop", page_size=2)]
    assert [len(page.sets) for page in pages] == [2, 2, 1]
    assert {each.mutation_id for page in pages for each in page.sets} == ids


async def test_the_dead_of_one_target_are_not_those_of_another(shopping: Shopping) -> None:
    await shopping.killed()
    assert (await shopping.ahead.list_dead()).sets == []


async def test_a_dead_set_is_read_with_its_mutations(shopping: Shopping) -> None:
    mutation_id = await shopping.killed(mutation("1", "b"), mutation("2", "a"), mutation("3", "c"))
    found = await shopping.ahead.get_dead(mutation_id=mutation_id)
    assert [each["value"] for each in found.mutations] == ["1", "2", "3"]
    assert (found.status.applied, found.status.died_at is not None) == (1, True)


async def test_a_replayed_set_goes_on_where_it_died(shopping: Shopping) -> None:
    mutation_id = await shopping.killed(mutation("1", "b"), mutation("2", "a"), mutation("3", "c"))
    assert (await shopping.ahead.replay(mutation_id=mutation_id)).state == "pending"
    await shopping.work()
    assert shopping.shop.order("t") == [0, 1, 2]
    assert (await shopping.status(mutation_id)).state == "applied"
    assert (await shopping.ahead.list_dead(target="shop")).sets == []


async def test_a_replayed_set_keeps_its_versions(shopping: Shopping) -> None:
    mutation_id = await shopping.killed()
    before = (await shopping.status(mutation_id)).idempotency_token
    await shopping.stage.environment.sleep(60)
    assert (await shopping.ahead.replay(mutation_id=mutation_id)).idempotency_token == before
    await shopping.work()
    assert shopping.shop.history == [("t/0", before.generation_time.us, "1")]


async def test_a_set_replayed_with_another_token_is_a_write_of_now(shopping: Shopping) -> None:
    mutation_id = await shopping.killed()
    await shopping.stage.environment.sleep(60)
    token = (await shopping.ahead.replay(mutation_id=mutation_id, retoken=True)).idempotency_token
    assert token.token != "t"
    assert token.generation_time.us >= shopping.stage.environment.now_us()
    await shopping.work()
    assert shopping.shop.history == [(f"{token.token}/0", token.generation_time.us, "1")]


async def test_a_set_that_died_of_age_is_replayed_with_another_token_only(shopping: Shopping) -> None:
    shopping.shop.errors["a"] = TokenDrift("too old")
    mutation_id = await shopping.submit()
    await shopping.work()
    with pytest.raises(PreconditionFailed, match="too old to be applied") as caught:
        await shopping.ahead.replay(mutation_id=mutation_id)
    assert caught.value.field == "retoken"
    shopping.shop.errors.clear()
    await shopping.ahead.replay(mutation_id=mutation_id, retoken=True)
    await shopping.work()
    assert (await shopping.status(mutation_id)).state == "applied"


async def test_a_replayed_set_that_fails_again_is_dead_again(shopping: Shopping) -> None:
    mutation_id = await shopping.killed()
    shopping.shop.errors["a"] = BAD
    await shopping.stage.environment.sleep(1)
    await shopping.ahead.replay(mutation_id=mutation_id)
    await shopping.work()
    assert [each.mutation_id for each in (await shopping.ahead.list_dead(target="shop")).sets] == [mutation_id]
    assert len((await shopping.ahead.get_dead(mutation_id=mutation_id)).mutations) == 1


async def test_only_dead_sets_are_read_and_replayed(shopping: Shopping) -> None:
    mutation_id = await shopping.submit()
    for ask in (shopping.ahead.get_dead, shopping.ahead.replay):
        with pytest.raises(PreconditionFailed, match="is accepted, not dead"):
            await ask(mutation_id=mutation_id)


async def test_a_discarded_set_is_applied_by_nobody(shopping: Shopping) -> None:
    mutation_id = await shopping.killed(mutation("1", "b"), mutation("2", "a"))
    discarded = await shopping.ahead.discard(mutation_id=mutation_id)
    assert (discarded.state, discarded.applied) == ("discarded", 1)
    assert (await shopping.ahead.list_dead(target="shop")).sets == []
    await shopping.work()
    assert shopping.shop.order("t") == [0]
    with pytest.raises(PreconditionFailed, match="is discarded"):
        await shopping.ahead.replay(mutation_id=mutation_id)


async def test_a_set_that_waits_can_be_discarded(shopping: Shopping) -> None:
    mutation_id = await shopping.submit(due_s=60)
    await shopping.work()
    await shopping.ahead.discard(mutation_id=mutation_id)
    await shopping.stage.environment.sleep(120)
    await shopping.work()
    assert shopping.shop.history == []
    assert await shopping.ledger.listed(pending("shop"), 10) == []


async def test_discarding_twice_is_discarding_once(shopping: Shopping) -> None:
    mutation_id = await shopping.killed()
    first = await shopping.ahead.discard(mutation_id=mutation_id)
    assert await shopping.ahead.discard(mutation_id=mutation_id) == first


async def test_a_set_that_was_applied_cannot_be_discarded(shopping: Shopping) -> None:
    mutation_id = await shopping.submit()
    await shopping.work()
    with pytest.raises(PreconditionFailed, match="is applied"):
        await shopping.ahead.discard(mutation_id=mutation_id)


async def test_a_set_discarded_while_it_is_tried_stays_discarded(shopping: Shopping) -> None:
    shopping.shop.errors["a"] = Unavailable("closed")
    mutation_id = await shopping.submit()
    await shopping.work()
    known = await shopping.ledger.find(mutation_id)
    assert known is not None
    await shopping.ahead.discard(mutation_id=mutation_id)
    await settle_late(shopping, mutation_id, known)
    assert (await shopping.status(mutation_id)).state == "discarded"


async def settle_late(shopping: Shopping, mutation_id: str, known: Known) -> None:
    """A try that began before something else was decided about the set ends after it."""
    from soundstage.data.writeahead.applying import Outcome
    from soundstage.data.writeahead.shelf import Shelf

    await Shelf(shopping.journal).settle(mutation_id, b"", known, Outcome(1))


async def test_dead_sets_whose_mutations_are_damaged_cannot_be_replayed(shopping: Shopping) -> None:
    mutation_id = await shopping.killed()
    await shopping.ledger.shelve(mutation_id, b"other")
    with pytest.raises(PreconditionFailed, match="are damaged"):
        await shopping.ahead.replay(mutation_id=mutation_id)
    assert (await shopping.ahead.get_dead(mutation_id=mutation_id)).mutations == []
    assert len(await shopping.ledger.listed(dead("shop"), 10)) == 1


READER = Principal("reader", {"people": ("write",)}, "1")


async def test_whoever_knows_the_name_of_a_set_may_ask_for_its_status(shopping: Shopping) -> None:
    mutation_id = await shopping.submit()
    found = await shopping.stage.dispatch(
        "writeahead", "status", Call(principal=READER), GetStatus(mutation_id=mutation_id)
    )
    assert found.state == "accepted"


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("list_dead", ListDead()),
        ("get_dead", GetDead(mutation_id="f")),
        ("replay", ReplayDead(mutation_id="f")),
        ("discard", Discard(mutation_id="f")),
    ],
)
async def test_what_is_in_sets_and_what_becomes_of_them_is_for_who_may_do_everything(
    shopping: Shopping, operation: str, request_: object
) -> None:
    with pytest.raises(Forbidden):
        await shopping.stage.dispatch("writeahead", operation, Call(principal=READER), request_)


async def test_metrics_tell_of_each_target(shopping: Shopping) -> None:
    await shopping.killed(token="dead")
    await shopping.submit(token="waits", due_s=60)
    await shopping.submit(token="applied")
    await shopping.work()
    text = shopping.stage.metrics_text().decode()
    for line in ("accepted_total", "applied_total", "dead_total", "refused_total", "pending", "waiting", "lag_seconds"):
        assert f"soundstage_writeahead_{line}" in text
    assert 'soundstage_writeahead_accepted_total{system="writeahead",target="shop"} 3.0' in text
    assert 'soundstage_writeahead_pending{system="writeahead",target="shop"} 1.0' in text
