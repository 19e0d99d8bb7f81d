from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.runtime.errands.api import CALLS as ERRANDS
from tests.runtime.errands.api import Count
from tests.runtime.notes.api import CALLS, Disturb, DisturbReply, ReadNote, WriteNote, WriteNoteReply

from soundstage.core.call import Call, Principal
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    DeadlineExceeded,
    InProgress,
    Internal,
    InvalidArgument,
    NotFound,
    SoundstageError,
    TokenDrift,
    TokenReused,
    TooLarge,
    Unavailable,
)
from soundstage.core.hlc import TokenClock
from soundstage.core.job import JobStarted
from soundstage.engines.records.memory import MemoryRecords
from soundstage.runtime.repetition import REPLY_MAX_BYTES, RUNNING_US, Repetitions
from soundstage.runtime.system_table import SystemTable

HOUR = 3_600


class Work:
    """What the calls do; `replies` are given in turn, errors raised."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.calls: list[Call] = []
        self.requests: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()

    async def __call__(self, call: Call, request: Any) -> Any:
        self.calls.append(call)
        self.requests.append(request)
        self.begun.set()
        await self.gate.wait()
        reply = self.replies.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        return reply


@pytest.fixture
async def repetitions(environment: VirtualEnvironment) -> Repetitions:
    engine = MemoryRecords(environment)
    await engine.start()
    clock = TokenClock(environment)
    table = SystemTable(engine, "repetitions", clock, environment)
    await table.create()
    return Repetitions(table, clock, environment, frozenset({"notes/read"}))


def keyed(key: str = "k", name: str = "me") -> Call:
    return Call(principal=Principal(name, {}), idempotency_key=key)


DISTURB = CALLS.disturb
START = ERRANDS.resuming
REQUEST = Disturb(how="a")


async def test_a_repetition_gets_the_first_reply_without_running(repetitions: Repetitions) -> None:
    work = Work(DisturbReply(count=1), DisturbReply(count=2))
    for _ in range(3):
        assert await repetitions.once(keyed(), DISTURB, REQUEST, work) == DisturbReply(count=1)
    assert len(work.calls) == 1


@pytest.mark.parametrize("other", [keyed("other"), keyed(name="you")])
async def test_another_key_or_caller_runs_by_itself(repetitions: Repetitions, other: Call) -> None:
    work = Work(DisturbReply(count=1), DisturbReply(count=2))
    await repetitions.once(keyed(), DISTURB, REQUEST, work)
    assert await repetitions.once(other, DISTURB, REQUEST, work) == DisturbReply(count=2)


async def test_another_request_under_the_key_is_refused(repetitions: Repetitions) -> None:
    work = Work(DisturbReply(count=1))
    await repetitions.once(keyed(), DISTURB, REQUEST, work)
    with pytest.raises(TokenReused) as caught:
        await repetitions.once(keyed(), DISTURB, Disturb(how="b"), work)
    assert caught.value.field == "Idempotency-Key"


async def test_one_in_flight_is_in_progress(repetitions: Repetitions) -> None:
    work = Work(DisturbReply(count=1))
    work.gate.clear()
    first = asyncio.ensure_future(repetitions.once(keyed(), DISTURB, REQUEST, work))
    await work.begun.wait()
    with pytest.raises(InProgress) as caught:
        await repetitions.once(keyed(), DISTURB, REQUEST, work)
    assert (caught.value.retryable, caught.value.retry_after_ms) == (True, 1_000)
    work.gate.set()
    assert await first == DisturbReply(count=1)


async def test_two_at_once_run_once(repetitions: Repetitions) -> None:
    work = Work(DisturbReply(count=1))
    both = await asyncio.gather(
        *(repetitions.once(keyed(), DISTURB, REQUEST, work) for _ in range(2)), return_exceptions=True
    )
    assert len(work.calls) == 1
    assert DisturbReply(count=1) in both


async def test_a_start_in_doubt_is_repeated_as_that_of_the_same_job(repetitions: Repetitions) -> None:
    work = Work(Unavailable("lost", outcome="unknown"), JobStarted(job_id="as told"))
    request = Count(to=1)
    with pytest.raises(Unavailable) as caught:
        await repetitions.once(keyed(), START, request, work)
    assert (caught.value.retryable, caught.value.hint) == (True, "repeat it under the same Idempotency-Key")
    for _ in range(2):
        assert await repetitions.once(keyed(), START, request, work) == JobStarted(job_id="as told")
    first, second = (call.job_id for call in work.calls)
    assert first == second != ""


async def test_another_start_is_of_another_job(repetitions: Repetitions) -> None:
    work = Work(JobStarted(job_id="a"), JobStarted(job_id="b"))
    for key in ("a", "b"):
        await repetitions.once(keyed(key), START, Count(to=1), work)
    first, second = (call.job_id for call in work.calls)
    assert first != second


async def test_what_starts_no_job_names_none(repetitions: Repetitions) -> None:
    work = Work(DisturbReply(count=1))
    await repetitions.once(keyed(), DISTURB, REQUEST, work)
    assert work.calls[0].job_id == ""


async def test_a_failure_is_not_kept(repetitions: Repetitions) -> None:
    work = Work(NotFound("none"), DisturbReply(count=2))
    with pytest.raises(NotFound):
        await repetitions.once(keyed(), DISTURB, REQUEST, work)
    assert await repetitions.once(keyed(), DISTURB, REQUEST, work) == DisturbReply(count=2)


LOST = (
    DeadlineExceeded("late", outcome="unknown", retryable=True),
    Unavailable("the answer was lost", outcome="unknown"),
    Internal("a defect"),
)
NOTE = WriteNote(name="a", text="Ada")


@pytest.mark.parametrize("error", LOST)
async def test_what_may_have_been_done_is_not_done_again(repetitions: Repetitions, error: SoundstageError) -> None:
    work = Work(error, DisturbReply(count=2))
    with pytest.raises(type(error)) as first:
        await repetitions.once(keyed(), DISTURB, REQUEST, work)
    for _ in range(2):
        with pytest.raises(Unavailable, match="may or may not have been applied") as caught:
            await repetitions.once(keyed(), DISTURB, REQUEST, work)
        assert (caught.value.outcome, caught.value.retryable) == ("unknown", False)
        assert "read back what it changes" in str(caught.value.hint)
    assert (len(work.calls), first.value.retryable) == (1, False)


@pytest.mark.parametrize("error", LOST[:2])
async def test_a_write_that_may_have_been_done_is_repeated_under_the_same_token(
    repetitions: Repetitions, error: SoundstageError
) -> None:
    work = Work(error, WriteNoteReply(written=1))
    with pytest.raises(type(error)) as first:
        await repetitions.once(keyed(), CALLS.write, NOTE, work)
    assert (first.value.retryable, first.value.hint) == (True, "repeat it under the same Idempotency-Key")
    for _ in range(2):
        assert await repetitions.once(keyed(), CALLS.write, NOTE, work) == WriteNoteReply(written=1)
    tokens = {request.idempotency_token for request in work.requests}
    assert (len(work.requests), len(tokens), None in tokens) == (2, 1, False)


async def test_a_write_with_a_token_of_its_own_keeps_it(
    repetitions: Repetitions, environment: VirtualEnvironment
) -> None:
    own = msgspec.structs.replace(NOTE, idempotency_token=TokenClock(environment).token())
    work = Work(Unavailable("lost", outcome="unknown"), WriteNoteReply(written=1))
    with pytest.raises(Unavailable):
        await repetitions.once(keyed(), CALLS.write, own, work)
    await repetitions.once(keyed(), CALLS.write, own, work)
    assert work.requests == [own, own]


async def test_a_refusal_of_the_repetition_says_nothing_of_the_first(repetitions: Repetitions) -> None:
    work = Work(Unavailable("lost", outcome="unknown"), NotFound("none"), WriteNoteReply(written=1))
    for error in (Unavailable, NotFound):
        with pytest.raises(error):
            await repetitions.once(keyed(), CALLS.write, NOTE, work)
    await repetitions.once(keyed(), CALLS.write, NOTE, work)
    assert len({request.idempotency_token for request in work.requests}) == 1


async def test_a_repetition_whose_token_has_become_too_old_is_in_doubt(repetitions: Repetitions) -> None:
    work = Work(Unavailable("lost", outcome="unknown"), TokenDrift("too old"))
    with pytest.raises(Unavailable, match="lost"):
        await repetitions.once(keyed(), CALLS.write, NOTE, work)
    with pytest.raises(Unavailable, match="no known end"):
        await repetitions.once(keyed(), CALLS.write, NOTE, work)


@pytest.mark.parametrize("error", [NotFound("none"), Unavailable("full", outcome="not_applied")])
async def test_what_was_certainly_not_done_begins_anew(repetitions: Repetitions, error: SoundstageError) -> None:
    work = Work(error, WriteNoteReply(written=1))
    with pytest.raises(type(error)):
        await repetitions.once(keyed(), CALLS.write, NOTE, work)
    await repetitions.once(keyed(), CALLS.write, NOTE, work)
    assert len({request.idempotency_token for request in work.requests}) == 2


async def test_replies_are_kept_for_24_hours(repetitions: Repetitions, environment: VirtualEnvironment) -> None:
    work = Work(DisturbReply(count=1), DisturbReply(count=2))
    await repetitions.once(keyed(), DISTURB, REQUEST, work)
    environment.advance(23.9 * HOUR)
    assert await repetitions.once(keyed(), DISTURB, REQUEST, work) == DisturbReply(count=1)
    environment.advance(0.2 * HOUR)
    assert await repetitions.once(keyed(), DISTURB, REQUEST, work) == DisturbReply(count=2)


async def test_a_call_whose_process_died_is_in_doubt_after_a_minute(
    repetitions: Repetitions, environment: VirtualEnvironment
) -> None:
    work = Work(asyncio.CancelledError(), DisturbReply(count=2))
    with pytest.raises(asyncio.CancelledError):
        await repetitions.once(keyed(), DISTURB, REQUEST, work)
    with pytest.raises(InProgress):
        await repetitions.once(keyed(), DISTURB, REQUEST, work)
    environment.advance(RUNNING_US / 1e6 + 1)
    with pytest.raises(Unavailable, match="no known end"):
        await repetitions.once(keyed(), DISTURB, REQUEST, work)
    assert len(work.calls) == 1


async def test_a_call_must_end_before_its_claim_does(repetitions: Repetitions, environment: VirtualEnvironment) -> None:
    work = Work(DisturbReply(count=1), DisturbReply(count=1))
    await repetitions.once(keyed("a"), DISTURB, REQUEST, work)
    await repetitions.once(Call(idempotency_key="b", deadline_ns=5), DISTURB, REQUEST, work)
    bound = work.calls[0].deadline_ns
    assert bound is not None
    assert 0 < bound - environment.monotonic_ns() < RUNNING_US * 1_000
    assert work.calls[1].deadline_ns == 5


async def test_a_reply_too_long_to_keep_is_given_once_and_then_refused(repetitions: Repetitions) -> None:
    long = WriteNote(name="x" * REPLY_MAX_BYTES, text="")
    work = Work(long)
    assert await repetitions.once(keyed(), DISTURB, REQUEST, work) is long
    with pytest.raises(TooLarge, match="too long to be kept"):
        await repetitions.once(keyed(), DISTURB, REQUEST, work)


async def test_an_operation_whose_reply_is_a_secret_takes_no_key(repetitions: Repetitions) -> None:
    with pytest.raises(InvalidArgument, match="holds a secret"):
        await repetitions.once(keyed(), CALLS.read, ReadNote(name=""), Work())


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü"])
async def test_a_malformed_key_is_refused(repetitions: Repetitions, key: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await repetitions.once(keyed(key), DISTURB, REQUEST, Work())
    assert caught.value.field == "Idempotency-Key"
