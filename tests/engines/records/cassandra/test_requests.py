"""How often requests are sent, for how long, and how many at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.engines.records.cassandra.scripted import Session, Statement, requests_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DeadlineExceeded, Exhausted, Forbidden, SoundstageError, Unavailable
from soundstage.engines.records.cassandra.driver import LEVELS, SERIAL, root
from soundstage.engines.records.cassandra.failures import TOO_MANY_TOMBSTONES, Failed, TooManyTombstones, TooSlow

ASKED = (Statement(), ())
TIMED_OUT = root.WriteTimeout("timed out", write_type=0)
REFUSED = root.Unavailable("too few")


async def refused(call: Any) -> SoundstageError:
    with pytest.raises(SoundstageError) as found:
        await call
    return found.value


async def test_a_read_is_answered_with_its_rows(environment: VirtualEnvironment) -> None:
    session = Session([[(1,)]])
    assert await requests_of(session, environment).read(*ASKED) == [(1,)]
    assert session.sent[0].request.consistency_level == LEVELS["quorum"]


async def test_a_serial_read_is_one(environment: VirtualEnvironment) -> None:
    session = Session([[]])
    await requests_of(session, environment).read_serially(*ASKED)
    assert session.sent[0].request.consistency_level == SERIAL


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_a_write_is_sent_until_it_is_acknowledged(environment: VirtualEnvironment, count: int) -> None:
    session = Session([*[TIMED_OUT] * count, None])
    await requests_of(session, environment).write(*ASKED)
    assert len(session.sent) == count + 1
    assert len({id(each.request) for each in session.sent}) == 1


@pytest.mark.parametrize(("answers", "outcome"), [([REFUSED], "not_applied"), ([TIMED_OUT, REFUSED], "unknown")])
async def test_a_write_is_given_up_at_its_deadline(
    environment: VirtualEnvironment, answers: list[Exception], outcome: str
) -> None:
    session = Session([*answers, *[REFUSED] * 1_000])
    deadline_ns = environment.monotonic_ns() + 3_000_000_000
    found = await refused(requests_of(session, environment).write(*ASKED, deadline_ns=deadline_ns))
    assert (type(found), found.outcome, found.retryable) == (Unavailable, outcome, True)
    assert environment.monotonic_ns() <= deadline_ns


async def test_without_a_deadline_patience_ends_it(environment: VirtualEnvironment) -> None:
    before_ns = environment.monotonic_ns()
    await refused(requests_of(Session([REFUSED] * 1_000), environment).write(*ASKED))
    assert 8 <= (environment.monotonic_ns() - before_ns) / 1e9 <= 10


async def test_a_write_whose_time_is_over_is_not_sent(environment: VirtualEnvironment) -> None:
    session = Session()
    found = await refused(requests_of(session, environment).write(*ASKED, deadline_ns=environment.monotonic_ns()))
    assert (type(found), found.outcome, session.sent) == (DeadlineExceeded, "not_applied", [])


@pytest.mark.parametrize(("left_s", "timeout"), [(1.5, 1.5), (100, 4.0)])
async def test_an_attempt_takes_no_longer_than_there_is_time(
    environment: VirtualEnvironment, left_s: float, timeout: float
) -> None:
    session = Session([None])
    deadline_ns = environment.monotonic_ns() + round(left_s * 1e9)
    await requests_of(session, environment).write(*ASKED, deadline_ns=deadline_ns)
    assert session.sent[0].timeout == pytest.approx(timeout)


async def test_what_cannot_succeed_is_not_sent_again(environment: VirtualEnvironment) -> None:
    session = Session([root.Unauthorized("no"), None])
    assert isinstance(await refused(requests_of(session, environment).write(*ASKED)), Forbidden)
    assert len(session.sent) == 1


async def test_what_an_attempt_may_have_done_is_remembered_when_another_is_refused(
    environment: VirtualEnvironment,
) -> None:
    found = await refused(requests_of(Session([TIMED_OUT, root.Unauthorized("no")]), environment).write(*ASKED))
    assert (type(found), found.outcome) == (Forbidden, "unknown")


async def test_a_write_under_way_when_the_engine_stops_may_have_counted(environment: VirtualEnvironment) -> None:
    requests = requests_of(Session(), environment)
    call = asyncio.ensure_future(requests.write(*ASKED))
    await asyncio.sleep(0)
    requests.close()
    assert (await refused(call)).outcome == "unknown"


async def test_a_read_past_too_many_tombstones_is_not_sent_again(environment: VirtualEnvironment) -> None:
    failed = root.ReadFailure("failed", error_code_map={"127.0.0.1": TOO_MANY_TOMBSTONES})
    with pytest.raises(TooManyTombstones):
        await requests_of(Session([failed]), environment).read(*ASKED)


async def test_a_scan_that_is_too_slow_is_not_sent_again(environment: VirtualEnvironment) -> None:
    with pytest.raises(TooSlow):
        await requests_of(Session([root.ReadTimeout("timed out")]), environment).scan(*ASKED)


async def test_a_read_that_its_own_deadline_ended_is_late(environment: VirtualEnvironment) -> None:
    deadline_ns = environment.monotonic_ns() + 1_000_000_000
    call = requests_of(Session([root.OperationTimedOut()]), environment).read(*ASKED, deadline_ns=deadline_ns)
    assert isinstance(await refused(call), DeadlineExceeded)


async def test_a_lightweight_write_is_sent_once(environment: VirtualEnvironment) -> None:
    session = Session([TIMED_OUT])
    with pytest.raises(Failed):
        await requests_of(session, environment).decide([ASKED])
    assert (len(session.sent), session.sent[0].request.serial_consistency_level) == (1, SERIAL)


async def test_a_lightweight_write_tells_whether_it_was_applied(environment: VirtualEnvironment) -> None:
    requests = requests_of(Session([[(True,)], [(False, 7)]]), environment)
    assert [await requests.decide([ASKED]) for _ in range(2)] == [(True, (True,)), (False, (False, 7))]


async def test_an_undecided_write_may_be_tried_anew_after_a_while(environment: VirtualEnvironment) -> None:
    requests, before_ns = requests_of(Session(), environment), environment.monotonic_ns()
    assert await requests.undecided(TIMED_OUT, 3, requests.until(None)) == "unknown"
    assert environment.monotonic_ns() > before_ns


async def test_no_more_requests_are_under_way_than_may_be(environment: VirtualEnvironment) -> None:
    session = Session()
    requests = requests_of(session, environment)
    calls = [asyncio.ensure_future(requests.read(*ASKED)) for _ in range(3)]
    await asyncio.sleep(0)
    under_way = len(session.sent)
    session.sent[0].answer([])
    await calls[0]
    await asyncio.sleep(0)
    assert (under_way, len(session.sent)) == (2, 3)
    requests.close()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_over_the_limit_of_those_that_wait_calls_are_refused(environment: VirtualEnvironment) -> None:
    requests = requests_of(Session(), environment)
    calls = [asyncio.ensure_future(requests.read(*ASKED)) for _ in range(3)]
    await asyncio.sleep(0)
    assert isinstance(await refused(requests.read(*ASKED)), Exhausted)
    requests.close()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_call_that_waits_for_its_turn_ends_at_its_deadline(environment: VirtualEnvironment) -> None:
    session = Session()
    requests = requests_of(session, environment)
    calls = [asyncio.ensure_future(requests.read(*ASKED)) for _ in range(2)]
    await asyncio.sleep(0)
    found = await refused(requests.write(*ASKED, deadline_ns=environment.monotonic_ns() + 10_000_000))
    assert (type(found), found.outcome, len(session.sent)) == (DeadlineExceeded, "not_applied", 2)
    assert requests.waiting == 0
    requests.close()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_who_stops_waiting_for_a_turn_leaves_it_to_the_next(environment: VirtualEnvironment) -> None:
    session = Session()
    requests = requests_of(session, environment)
    calls = [asyncio.ensure_future(requests.read(*ASKED)) for _ in range(3)]
    await asyncio.sleep(0)
    calls[2].cancel()
    for each in session.sent:
        each.answer([])
    await asyncio.gather(*calls, return_exceptions=True)
    session.answers = [[(1,)]]
    assert await requests.read(*ASKED) == [(1,)]


async def test_whoever_is_under_way_or_waits_ends_when_the_engine_stops(environment: VirtualEnvironment) -> None:
    requests = requests_of(Session(), environment)
    calls = [asyncio.ensure_future(requests.read(*ASKED)) for _ in range(3)]
    await asyncio.sleep(0)
    requests.close()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in ended] == [Unavailable] * 3
    assert (await refused(requests.write(*ASKED))).outcome == "not_applied"


async def test_a_request_goes_out_at_the_level_it_is_given(environment: VirtualEnvironment) -> None:
    session, level = Session([[], [], [], None, None]), LEVELS["local_one"]
    requests = requests_of(session, environment)
    await requests.read(*ASKED, level=level)
    await requests.scan(*ASKED, level=level)
    await requests.read_serially(*ASKED, level=level)
    await requests.write(*ASKED, level=level)
    await requests.write_all([ASKED, ASKED], level=level)
    assert {each.request.consistency_level for each in session.sent} == {level}


async def test_failures_are_known_until_anything_is_answered(environment: VirtualEnvironment) -> None:
    session = Session([TIMED_OUT, REFUSED])
    requests = requests_of(session, environment)
    call = asyncio.ensure_future(requests.write(*ASKED))
    for _ in range(20):
        await asyncio.sleep(0)
    assert requests.failing is not None
    assert (requests.retried, requests.in_flight) == (2, 1)
    session.sent[-1].answer(None)
    await call
    assert (requests.failing, requests.in_flight) == (None, 0)


async def test_reads_that_meet_too_many_dead_rows_are_counted(environment: VirtualEnvironment) -> None:
    error = root.ReadFailure("failed", error_code_map={"127.0.0.1": TOO_MANY_TOMBSTONES})
    requests = requests_of(Session([error]), environment)
    with pytest.raises(TooManyTombstones):
        await requests.read(*ASKED)
    assert requests.overrun == 1


async def test_reads_that_end_at_their_own_deadline_are_known_too(environment: VirtualEnvironment) -> None:
    requests = requests_of(Session([root.OperationTimedOut(), [[True]]]), environment)
    found = await refused(requests.read(*ASKED, deadline_ns=environment.monotonic_ns() + 1_000_000_000))
    failing = requests.failing
    await requests.decide([ASKED])
    assert isinstance(found, DeadlineExceeded)
    assert (failing is not None, requests.failing) == (True, None)
