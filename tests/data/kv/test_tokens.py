"""Which tokens the door takes, and what a reply says of them."""

from __future__ import annotations

import pytest
from tests.data.kv.conftest import Clock, OpenStage, item, keys, make, values

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, TokenDrift, Unavailable
from soundstage.core.message import Duration, IdempotencyToken, Instant
from soundstage.data.kv.api import Condition, KeyValue
from soundstage.data.kv.tokens import DriftWindow, check_min_version, check_reached, effective, tell_repeatable
from soundstage.engines.records.port import Stamp
from soundstage.runtime.stage import Stage

NOW_US = 1_700_000_000_000_000
PAST_US, FUTURE_US = 600_000_000, 2_000_000
MINUTE_US = 60_000_000
WINDOW = DriftWindow(PAST_US, FUTURE_US)


def token(time_us: int, text: str = "token") -> IdempotencyToken:
    return IdempotencyToken(Instant.from_us(time_us), text)


@pytest.mark.parametrize("offset_us", [-PAST_US, -1, 0, 1, FUTURE_US])
def test_a_token_within_the_window_is_admitted_at_its_time(offset_us: int) -> None:
    assert WINDOW.admit(token(NOW_US + offset_us), NOW_US) == NOW_US + offset_us


@pytest.mark.parametrize("offset_us", [-PAST_US - 1, FUTURE_US + 1, -NOW_US, -2 * NOW_US, NOW_US])
def test_a_token_outside_of_the_window_is_refused(offset_us: int) -> None:
    with pytest.raises(TokenDrift) as refused:
        WINDOW.admit(token(NOW_US + offset_us), NOW_US)
    assert refused.value.field == "idempotency_token.generation_time"
    assert refused.value.hint


def test_the_time_is_floored_to_microseconds() -> None:
    assert WINDOW.admit(IdempotencyToken(Instant(NOW_US * 1_000 + 999), "t"), NOW_US) == NOW_US


@pytest.mark.parametrize(("offset_us", "knob"), [(-PAST_US - 1, "drift_past"), (FUTURE_US + 1, "drift_future")])
def test_the_refusal_names_the_knob(offset_us: int, knob: str) -> None:
    with pytest.raises(TokenDrift) as refused:
        WINDOW.admit(token(NOW_US + offset_us), NOW_US)
    assert knob in (refused.value.hint or "")


@pytest.mark.parametrize(("offset_us", "said"), [(-700_000_000, "700.000 s ago"), (3_500_000, "3.500 s in the future")])
def test_the_refusal_says_how_far_the_token_is_off(offset_us: int, said: str) -> None:
    with pytest.raises(TokenDrift, match=said):
        WINDOW.admit(token(NOW_US + offset_us), NOW_US)


@pytest.mark.parametrize("text", ["", "a\0b", "x" * 65, "é" * 33, "\ud800"])
def test_a_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        WINDOW.admit(token(NOW_US, text), NOW_US)
    assert refused.value.field == "idempotency_token.token"
    assert not isinstance(refused.value, TokenDrift)


@pytest.mark.parametrize("text", ["a", "x" * 64, "é" * 32, "\x01"])
def test_any_other_text_of_1_to_64_bytes_is_a_token(text: str) -> None:
    assert WINDOW.admit(token(NOW_US, text), NOW_US) == NOW_US


def raised(before_us: int, changed_us: int) -> DriftWindow:
    return WINDOW.raised(Duration(before_us * 1_000), changed_us)


def test_a_raised_drift_does_not_reach_back_before_what_was_forgotten() -> None:
    window = raised(MINUTE_US, NOW_US)
    assert window.admit(token(NOW_US - MINUTE_US), NOW_US) == NOW_US - MINUTE_US
    with pytest.raises(TokenDrift, match="drift_past was shorter"):
        window.admit(token(NOW_US - MINUTE_US - 1), NOW_US)


def test_a_raised_drift_reaches_back_fully_after_the_difference() -> None:
    later_us = NOW_US + PAST_US - MINUTE_US
    assert raised(MINUTE_US, NOW_US).admit(token(later_us - PAST_US), later_us) == later_us - PAST_US


def test_a_lowered_drift_counts_at_once() -> None:
    assert raised(2 * PAST_US, NOW_US) == WINDOW


def test_of_several_raises_the_one_that_forgot_most_counts() -> None:
    window = raised(MINUTE_US, NOW_US - 1_000).raised(Duration(2 * MINUTE_US * 1_000), NOW_US)
    assert window.floor_us == NOW_US - 1_000 - MINUTE_US


def test_a_token_of_whole_microseconds_is_effective_as_it_is() -> None:
    given = token(NOW_US)
    assert effective(given, NOW_US) is given


def test_a_token_that_was_stamped_otherwise_is_effective_at_that_time() -> None:
    assert effective(IdempotencyToken(Instant(NOW_US * 1_000 + 7), "t"), NOW_US) == token(NOW_US, "t")


@pytest.mark.parametrize("offset_us", [-1, 0])
def test_a_record_at_a_later_time_has_reached_a_version(offset_us: int) -> None:
    check_reached(token(NOW_US + offset_us), Stamp(NOW_US, "other"))


@pytest.mark.parametrize("stamp", [None, Stamp(NOW_US - 1, "token")])
def test_a_record_at_an_earlier_time_has_not(stamp: Stamp | None) -> None:
    with pytest.raises(Unavailable) as refused:
        check_reached(token(NOW_US), stamp)
    assert (refused.value.field, refused.value.retryable) == ("min_version", True)


def test_no_version_is_reached_by_every_record() -> None:
    check_reached(None, None)


def test_a_version_under_no_token_is_refused() -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_min_version(token(NOW_US, ""))
    assert refused.value.field == "min_version.token"


# Through a stage.


async def test_the_reply_names_the_token_in_whole_microseconds(plain: KeyValue, clock: Clock) -> None:
    sent = clock.token()
    finer = IdempotencyToken(Instant(sent.generation_time + 999), sent.token)
    assert (await plain.put_items(id="ada", items=[item(b"k")], idempotency_token=finer)).idempotency_token == sent


async def test_a_write_without_a_token_is_given_one(plain: KeyValue, environment: VirtualEnvironment) -> None:
    reply = await plain.put_items(id="ada", items=[item(b"k")])
    assert reply.idempotency_token.generation_time // 1_000 >= environment.now_us()
    assert (await plain.get_items(id="ada")).items[0].metadata.token == reply.idempotency_token


@pytest.mark.parametrize("read", ["one", "page", "scan", "batch"])
async def test_a_write_without_a_token_is_later_than_what_a_reply_showed(
    read: str, open_stage: OpenStage, clock: Clock
) -> None:
    stage = await open_stage("rocksdb")
    kv = await make(stage, "people")
    await kv.put_items(id="ada", items=[item(b"k", b"shown")], idempotency_token=clock.token(at=1_500_000))
    # A process that starts anew knows of no times but those that it shows.
    await stage.stop()
    kv = (await stage.start()).client(KeyValue, "people")
    await {
        "one": lambda: kv.get_items(id="ada", predicate=keys(b"k")),
        "page": lambda: kv.get_items(id="ada"),
        "scan": lambda: kv.scan_items(),
        "batch": lambda: kv.batch_get_items(ids=["ada"]),
    }[read]()
    await kv.put_items(id="ada", items=[item(b"k", b"later")])
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"later"}


async def test_a_namespace_that_allows_more_drift_believes_more(plain_stage: Stage, clock: Clock) -> None:
    kv = await make(plain_stage, "ahead", drift_future="10s")
    await kv.put_items(id="ada", items=[item(b"k", b"ahead")], idempotency_token=clock.token(at=9_000_000))
    await kv.put_items(id="ada", items=[item(b"k", b"later")])
    assert values((await kv.get_items(id="ada")).items) == {b"k": b"later"}


async def test_one_namespace_ahead_does_not_carry_the_others_along(
    plain_stage: Stage, clock: Clock, environment: VirtualEnvironment
) -> None:
    ahead, other = await make(plain_stage, "ahead", drift_future="1h"), await make(plain_stage, "other")
    await ahead.put_items(id="ada", items=[item(b"k")], idempotency_token=clock.token(at=3_000_000_000))
    reply = await other.put_items(id="ada", items=[item(b"k")])
    assert reply.idempotency_token.generation_time // 1_000 < environment.now_us() + FUTURE_US


async def test_a_write_after_a_conditional_one_that_was_stamped_ahead_is_later(plain: KeyValue, clock: Clock) -> None:
    absent = Condition(key=b"none", absent=True)
    stamps = [await plain.put_items(id="ada", items=[item(b"k")], condition=absent) for _ in range(5)]
    reply = await plain.put_items(id="ada", items=[item(b"k", b"last")])
    assert reply.idempotency_token.generation_time > stamps[-1].idempotency_token.generation_time


async def test_raises_of_the_drift_add_up_across_changes_and_restarts(
    open_stage: OpenStage, clock: Clock, environment: VirtualEnvironment
) -> None:
    stage = await open_stage("rocksdb")
    await make(stage, "people", drift_past="1m")
    environment.advance(3_600)
    await make(stage, "people", drift_past="30m")
    # Other changes do not make the raise forgotten.
    await make(stage, "people", drift_past="30m", count_limit=7)
    await make(stage, "people", drift_past="30m", count_limit=8)
    await stage.stop()
    kv = (await stage.start()).client(KeyValue, "people")
    await kv.put_items(id="ada", items=[item(b"k")], idempotency_token=clock.token(at=-60_000_000))
    with pytest.raises(TokenDrift, match="drift_past was shorter"):
        await kv.put_items(id="ada", items=[item(b"k")], idempotency_token=clock.token(at=-60_000_001))
    environment.advance(29 * 60)
    await kv.put_items(id="ada", items=[item(b"k")], idempotency_token=clock.token(at=-1_800_000_000))


async def test_after_a_leap_of_the_clock_no_write_is_acknowledged_that_hides_others(
    plain: KeyValue, environment: VirtualEnvironment, clock: Clock
) -> None:
    environment.skew(3_600)
    await plain.put_items(id="ada", items=[item(b"k", b"ahead")])
    environment.skew(-3_600)
    with pytest.raises(Unavailable, match="was set back: it made a token") as refused:
        await plain.put_items(id="bob", items=[item(b"k", b"hidden")])
    assert (refused.value.outcome, refused.value.retryable, refused.value.retry_after_ms) == (
        "not_applied",
        True,
        60_000,
    )
    await plain.put_items(id="bob", items=[item(b"k", b"right")], idempotency_token=clock.token())
    assert values((await plain.get_items(id="bob")).items) == {b"k": b"right"}


async def test_a_clock_that_has_caught_up_makes_tokens_again(plain: KeyValue, environment: VirtualEnvironment) -> None:
    environment.skew(10)
    await plain.put_items(id="ada", items=[item(b"k", b"ahead")])
    environment.skew(-10)
    environment.advance(8.1)
    await plain.put_items(id="ada", items=[item(b"k", b"later")])
    assert values((await plain.get_items(id="ada")).items) == {b"k": b"later"}


async def test_what_others_wrote_as_far_ahead_as_is_taken_is_gone_past(plain: KeyValue, clock: Clock) -> None:
    await plain.put_items(id="ada", items=[item(b"k", b"ahead")], idempotency_token=clock.token(at=2_000_000))
    for number in range(50):
        await plain.put_items(id="ada", items=[item(b"k", b"%d" % number)])
    assert values((await plain.get_items(id="ada")).items) == {b"k": b"49"}


class TestRepetition:
    """A write under a token may be repeated; one without may not, unless nothing was done."""

    def test_what_may_have_been_done_under_a_token_is_repeated_under_it(self, clock: Clock) -> None:
        error = Unavailable("it is away", outcome="unknown", retryable=False)
        tell_repeatable(error, clock.token())
        assert error.retryable

    def test_what_may_have_been_done_without_is_looked_for_first(self) -> None:
        error = Unavailable("it is away", outcome="unknown")
        tell_repeatable(error, None)
        assert not error.retryable
        assert "idempotency_token" in (error.hint or "")

    def test_what_was_not_done_is_repeated_as_it_was(self) -> None:
        error = Unavailable("it is away", outcome="not_applied")
        tell_repeatable(error, None)
        assert error.retryable
