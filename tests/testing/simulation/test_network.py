from __future__ import annotations

import asyncio

import pytest
from tests.testing.simulation.theatre import at_site

from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.core.message import IdempotencyToken
from soundstage.core.time import Instant
from soundstage.data.kv.api import KeyValue, PutItem
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.testing.simulation.climate import Climate
from soundstage.testing.simulation.environment import START_NS
from soundstage.testing.simulation.faults import FaultRates
from soundstage.testing.simulation.network import NetworkRates, Passage
from soundstage.testing.simulation.scenario import Site

ITEM = PutItem(key=b"k", value=b"v")
TOKEN = IdempotencyToken(Instant(START_NS), "token")


async def prepared(site: Site, rates: NetworkRates, retries: int | None = 0) -> KeyValue:
    """The client of machine 0, once its namespace is there and the network is as `rates` say."""
    await site.host.stage.client(Namespaces).put(namespace=NamespaceSpec(name="home", abstraction="kv"))
    site.network.rates = rates
    return site.client(0, KeyValue, "home").with_options(retries=retries)


async def stored(site: Site) -> int:
    site.network.rates = NetworkRates()
    return (await site.client(1, KeyValue, "home").count_items(id="r")).count


def test_a_quiet_network_carries_every_call() -> None:
    async def body(site: Site) -> tuple[str, int]:
        kv = await prepared(site, NetworkRates())
        reply = await kv.put_items(id="r", items=[ITEM], idempotency_token=TOKEN)
        return reply.idempotency_token.token, await stored(site)

    assert at_site(body) == ("token", 1)


def test_a_lost_request_does_nothing_and_its_sender_waits_in_vain() -> None:
    async def body(site: Site) -> tuple[str | None, int, float, Passage]:
        kv = await prepared(site, NetworkRates(request_lost=1.0))
        with pytest.raises(DeadlineExceeded) as late:
            await kv.put_items(id="r", items=[ITEM], idempotency_token=TOKEN)
        waited_s = site.environment.monotonic_ns() / 1e9
        return late.value.outcome, await stored(site), waited_s, site.network.passage("token")

    assert at_site(body) == ("unknown", 0, 2.0, Passage(sent=1, under_way=0, uncertain=False))


def test_a_lost_answer_leaves_what_was_done() -> None:
    async def body(site: Site) -> tuple[str | None, int, Passage]:
        kv = await prepared(site, NetworkRates(answer_lost=1.0))
        with pytest.raises(DeadlineExceeded) as late:
            await kv.put_items(id="r", items=[ITEM], idempotency_token=TOKEN)
        return late.value.outcome, await stored(site), site.network.passage("token")

    assert at_site(body) == ("unknown", 1, Passage(sent=1, under_way=0, uncertain=True))


def test_a_request_held_up_is_done_late() -> None:
    async def body(site: Site) -> float:
        kv = await prepared(site, NetworkRates(held_up=1.0, held_up_s=0.5))
        await kv.put_items(id="r", items=[ITEM])
        return site.environment.monotonic_ns() / 1e9

    assert 0 < at_site(body) < 1.0


def test_a_request_delivered_twice_arrives_twice_and_is_answered_once() -> None:
    async def body(site: Site) -> tuple[int, int]:
        kv = await prepared(site, NetworkRates(twice=1.0), retries=None)
        await kv.put_items(id="r", items=[ITEM], idempotency_token=TOKEN)
        await site.network.idle()
        return site.network.passage("token").sent, await stored(site)

    assert at_site(body) == (2, 1)


def test_what_is_sent_once_arrives_once() -> None:
    async def body(site: Site) -> int:
        kv = await prepared(site, NetworkRates(twice=1.0, hedged=1.0, held_up=1.0, held_up_s=1.0))
        await kv.put_items(id="r", items=[ITEM], idempotency_token=TOKEN)
        await site.network.idle()
        return site.network.passage("token").sent

    assert at_site(body) == 1


def test_an_idempotency_key_travels_with_its_call() -> None:
    async def body(site: Site) -> tuple[int, int]:
        await prepared(site, NetworkRates())
        namespaces = site.client(0, Namespaces).with_options(idempotency_key="key", retries=0)
        await namespaces.put(namespace=NamespaceSpec(name="new", abstraction="kv"))
        other = NamespaceSpec(name="new", abstraction="kv", config={"count_limit": 7})
        await site.host.stage.client(Namespaces).put(namespace=other)
        again = await namespaces.put(namespace=NamespaceSpec(name="new", abstraction="kv"))
        return again.version, site.network.passage("key").sent

    assert at_site(body) == (1, 2)


def test_calls_with_neither_token_nor_key_are_told_apart_by_their_request_id() -> None:
    async def body(site: Site) -> tuple[Passage, Passage]:
        await prepared(site, NetworkRates())
        namespaces = site.client(0, Namespaces).with_options(retries=0)
        await namespaces.with_options(request_id="done").put(namespace=NamespaceSpec(name="new", abstraction="kv"))
        with pytest.raises(SoundstageError):
            await namespaces.with_options(request_id="refused").delete(name="nothing")
        return site.network.passage("done"), site.network.passage("refused")

    assert at_site(body) == (Passage(sent=1, uncertain=True), Passage(sent=1, uncertain=False))


def test_a_network_has_latency_each_way_in_any_weather() -> None:
    async def body(site: Site) -> list[float]:
        kv = await prepared(site, NetworkRates())
        took: list[float] = []
        for _ in range(20):
            began_ns = site.environment.monotonic_ns()
            await kv.count_items(id="r")
            took.append((site.environment.monotonic_ns() - began_ns) / 1e9)
        return took

    took = at_site(body, climate=Climate(latency_s=0.01))
    assert min(took) > 0
    assert 0.01 < max(took) < 0.02


def test_what_failed_is_sent_again_under_the_same_token() -> None:
    async def body(site: Site) -> tuple[int, set[str]]:
        kv = (await prepared(site, NetworkRates())).with_options(retries=5)
        site.host.set_rates(FaultRates(lost_after=0.7))
        await kv.put_items(id="r", items=[ITEM], idempotency_token=TOKEN)
        site.host.set_rates(FaultRates())
        items = (await kv.get_items(id="r")).items
        return site.network.passage("token").sent, {item.metadata.token.token for item in items}

    sent, tokens = at_site(body)
    assert sent > 1
    assert tokens == {"token"}


def test_a_slow_call_is_hedged_under_the_same_token() -> None:
    async def body(site: Site) -> tuple[int, float]:
        kv = await prepared(site, NetworkRates(hedged=1.0, held_up=0.5, held_up_s=1.9), retries=None)
        for number in range(20):
            token = IdempotencyToken(Instant(site.environment.now_ns()), f"token {number}")
            await kv.put_items(id="r", items=[ITEM], idempotency_token=token)
        sent = sum(site.network.passage(f"token {number}").sent for number in range(20))
        return sent, site.environment.monotonic_ns() / 1e9

    sent, _ = at_site(body)
    assert 20 < sent <= 40


def test_a_write_without_a_token_is_given_one_before_it_is_sent() -> None:
    async def body(site: Site) -> tuple[int, int]:
        kv = (await prepared(site, NetworkRates(answer_lost=0.4))).with_options(retries=9)
        replies = [await kv.put_items(id="r", items=[ITEM]) for _ in range(6)]
        sent = sum(site.network.passage(reply.idempotency_token.token).sent for reply in replies)
        return sent, await stored(site)

    sent, count = at_site(body)
    assert sent > 6
    assert count == 1


def test_a_deadline_is_told_to_the_host() -> None:
    async def body(site: Site) -> str:
        kv = (await prepared(site, NetworkRates())).with_options(retries=0, deadline=0.05)
        site.host.set_rates(FaultRates(late=1.0, late_s=100.0))
        with pytest.raises(DeadlineExceeded) as late:
            await kv.put_items(id="r", items=[ITEM])
        return str(late.value)

    assert "deadline passed" in at_site(body)


def test_a_call_whose_host_dies_ends_and_nobody_knows() -> None:
    async def body(site: Site) -> tuple[str | None, bool]:
        kv = await prepared(site, NetworkRates())
        site.host.set_rates(FaultRates(late=1.0, late_s=100.0))
        call = asyncio.ensure_future(kv.put_items(id="r", items=[ITEM], idempotency_token=TOKEN))
        await site.environment.sleep(0.01)
        await site.host.restart("kill", 0.0)
        with pytest.raises(Unavailable, match="connection was lost") as refused:
            await call
        return refused.value.outcome, site.network.passage("token").uncertain

    assert at_site(body) == ("unknown", True)


def test_a_refusal_is_no_uncertainty() -> None:
    async def body(site: Site) -> Passage:
        kv = await prepared(site, NetworkRates())
        with pytest.raises(SoundstageError):
            await kv.put_items(id="", items=[ITEM], idempotency_token=TOKEN)
        return site.network.passage("token")

    assert at_site(body) == Passage(sent=1, under_way=0, uncertain=False)


def test_a_client_s_clock_goes_past_what_it_has_read() -> None:
    async def body(site: Site) -> int:
        await prepared(site, NetworkRates())
        one, other = site.machine(0), site.machine(1)
        one.environment.skew_s = 1.0
        await site.client(0, KeyValue, "home").put_items(id="r", items=[ITEM])
        await site.client(1, KeyValue, "home").get_items(id="r")
        return other.clock.token().generation_time - one.seen_us * 1_000

    assert at_site(body) == 1_000


def test_a_client_started_anew_has_forgotten_what_it_saw() -> None:
    async def body(site: Site) -> tuple[int, float]:
        kv = await prepared(site, NetworkRates())
        await kv.put_items(id="r", items=[ITEM])
        site.machine(0).restart(-0.5)
        return site.machine(0).seen_us, site.machine(0).environment.skew_s

    assert at_site(body) == (0, -0.5)


def test_every_answer_is_told() -> None:
    async def body(site: Site) -> list[str]:
        site.transcript = []
        kv = await prepared(site, NetworkRates())
        await kv.count_items(id="r")
        with pytest.raises(SoundstageError):
            await kv.count_items(id="")
        return [line.partition("(")[0] for line in site.transcript]

    assert at_site(body) == ["0 client 0 kv/count_items CountItemsReply", "0 client 0 kv/count_items InvalidArgument"]


def test_faults_are_counted() -> None:
    async def body(site: Site) -> int:
        kv = await prepared(site, NetworkRates(request_lost=1.0))
        for _ in range(2):
            with pytest.raises(DeadlineExceeded):
                await kv.count_items(id="r")
        return site.faults()["network_request_lost"]

    assert at_site(body) == 2


def test_a_network_is_idle_when_every_request_has_ended() -> None:
    async def body(site: Site) -> tuple[int, int]:
        kv = await prepared(site, NetworkRates(held_up=1.0, held_up_s=60.0))
        with pytest.raises(DeadlineExceeded):
            await kv.put_items(id="r", items=[ITEM])
        before = site.network.under_way
        await site.network.idle()
        return before, site.network.under_way

    assert at_site(body) == (1, 0)


def test_an_upload_travels_with_its_bytes() -> None:
    async def body(site: Site) -> tuple[int, bytes, Passage]:
        kv = await prepared(site, NetworkRates())
        reply = await kv.put_value(b"0123456789", id="r", key=b"k", idempotency_token=TOKEN)
        found = await site.client(1, KeyValue, "home").get_items(id="r")
        return reply.size, found.items[0].value or b"", site.network.passage("token")

    assert at_site(body) == (10, b"0123456789", Passage(sent=1, under_way=0, uncertain=True))


def test_an_upload_whose_sender_is_lost_leaves_nothing() -> None:
    async def body(site: Site) -> tuple[int, int, Passage]:
        kv = await prepared(site, NetworkRates())
        site.network.rates = NetworkRates(request_lost=0.5)
        refused = 0
        for _ in range(20):
            try:
                await kv.put_value(b"0123456789", id="r", key=b"k", idempotency_token=TOKEN)
            except Unavailable as lost:
                refused += lost.outcome == "not_applied"
            except DeadlineExceeded:
                continue
            else:
                break
        return refused, await stored(site), site.network.passage("token")

    refused, found, passage = at_site(body)
    assert refused > 0
    assert found == passage.uncertain
