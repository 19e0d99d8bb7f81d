from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

import pytest
from tests.engines.rocks.threads import ClosedExecutor, HeldExecutor

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.rocks.commit import INLINE_MAX_NS, GroupCommit
from soundstage.engines.rocks.options import Durability


class Log:
    """What is written counts `made`; a flush makes it `durable`, takes `flush_s` and fails when told to."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        self.environment = environment
        self.executor: Executor = HeldExecutor()
        self.made = 0
        self.durable = 0
        self.flush_s = 0.0
        self.error: Exception | None = None
        self.failures: list[Exception] = []
        self.commits: GroupCommit

    def open(self, durability: Durability = "group") -> GroupCommit:
        self.commits = GroupCommit(self._flush, durability, self.environment, self.executor, self.failures.append)
        return self.commits

    def _flush(self) -> None:
        self.environment.advance(self.flush_s)
        if self.error is not None:
            raise self.error
        self.durable = self.made

    def write(self, *keys: bytes) -> asyncio.Future[None] | None:
        self.made += 1
        return self.commits.join(keys)

    @property
    def held(self) -> HeldExecutor:
        assert isinstance(self.executor, HeldExecutor)
        return self.executor


@pytest.fixture
def log(environment: VirtualEnvironment) -> Log:
    return Log(environment)


async def turns(count: int = 3) -> None:
    """Whatever is ready has run."""
    for _ in range(count):
        await asyncio.sleep(0)


def waiter(future: asyncio.Future[None] | None) -> asyncio.Future[None]:
    assert future is not None
    return future


async def test_a_lone_writer_is_flushed_on_the_loop_and_waits_for_nobody(log: Log) -> None:
    log.open()
    await waiter(log.write(b"a"))
    assert (log.durable, log.commits.flushes, len(log.held.waiting)) == (1, 1, 0)


async def test_writers_of_one_moment_share_a_flush(log: Log) -> None:
    log.open()
    writers = [waiter(log.write(b"%d" % number)) for number in range(64)]
    await turns()
    log.held.run()
    await asyncio.gather(*writers)
    assert (log.durable, log.commits.flushes) == (64, 1)


async def test_several_writers_are_flushed_off_the_loop(log: Log) -> None:
    log.open()
    first, second = log.write(b"a"), log.write(b"b")
    await turns()
    assert not waiter(first).done()
    assert not waiter(second).done()
    assert len(log.held.waiting) == 1


async def test_who_writes_during_a_flush_waits_for_the_next_one(log: Log) -> None:
    log.open()
    log.flush_s = 0.05
    first = [waiter(log.write(b"a")), waiter(log.write(b"b"))]
    await turns()
    late = waiter(log.write(b"c"))
    log.held.run()
    await asyncio.gather(*first)
    assert not late.done()
    log.held.run()
    await late
    assert log.commits.flushes == 2


async def test_a_slow_disk_is_flushed_off_the_loop_even_for_a_lone_writer(log: Log) -> None:
    log.open()
    log.flush_s = 0.05
    await waiter(log.write(b"a"))
    lone = waiter(log.write(b"b"))
    await turns()
    assert not lone.done()
    log.held.run()
    await lone


async def test_a_lone_writer_is_flushed_on_the_loop_as_long_as_that_stays_below_two_milliseconds(log: Log) -> None:
    log.open()
    log.flush_s = 0.0017
    for _ in range(3):
        await waiter(log.write(b"a"))
    assert (log.commits.flushes, len(log.held.waiting)) == (3, 0)


async def test_one_slow_flush_counts_at_once_and_fast_ones_let_it_be_forgotten(log: Log) -> None:
    log.open()
    log.flush_s = 0.05
    await waiter(log.write(b"a"))
    log.flush_s = 0.0001
    flushes = 0
    while log.commits.flush_ns >= INLINE_MAX_NS:
        lone = waiter(log.write(b"a"))
        await turns()
        log.held.run()
        await lone
        flushes += 1
    await waiter(log.write(b"a"))
    assert 20 <= flushes <= 60
    assert not log.held.waiting


async def test_a_reader_of_what_is_not_flushed_waits_for_the_flush(log: Log) -> None:
    log.open()
    for key in (b"a", b"b"):
        log.write(key)
    await turns()
    reader = waiter(log.commits.gate(b"a"))
    await turns()
    assert not reader.done()
    log.held.run()
    await reader
    assert log.durable == 2


async def test_a_reader_of_anything_else_waits_for_nothing(log: Log) -> None:
    log.open()
    log.write(b"a")
    assert log.commits.gate(b"b") is None


async def test_nothing_is_gated_once_it_is_flushed(log: Log) -> None:
    log.open()
    await waiter(log.write(b"a"))
    assert log.commits.gate(b"a") is None
    assert log.commits.gate_all() is None
    assert log.commits.gate_each([b"a"]) is None


async def test_a_key_written_again_during_its_flush_stays_gated(log: Log) -> None:
    log.open()
    log.flush_s = 0.05
    writers = [waiter(log.write(b"a")), waiter(log.write(b"b"))]
    await turns()
    log.write(b"a")
    log.held.run()
    await asyncio.gather(*writers)
    assert log.commits.gate(b"b") is None
    reader = waiter(log.commits.gate(b"a"))
    assert not reader.done()
    log.held.run()
    await reader
    assert log.durable == 3


async def test_a_write_of_several_keys_gates_each_of_them(log: Log) -> None:
    log.open()
    written = waiter(log.write(b"a", b"b"))
    assert log.commits.gate(b"a") is not None
    assert log.commits.gate(b"b") is not None
    await written
    assert (log.commits.flushes, log.commits.gate(b"a"), log.commits.gate(b"b")) == (1, None, None)


async def test_a_reader_of_several_keys_waits_for_the_last_of_their_flushes(log: Log) -> None:
    log.open()
    for key in (b"a", b"b"):
        log.write(key)
    await turns()
    log.write(b"c")
    reader = waiter(log.commits.gate_each([b"c", b"x", b"a"]))
    log.held.run()
    await turns(1)
    assert log.durable == 3
    assert not reader.done()
    await reader
    assert log.commits.flushes == 2


async def test_a_reader_of_everything_waits_for_all_that_is_written(log: Log) -> None:
    log.open()
    for key in (b"a", b"b"):
        log.write(key)
    await turns()
    log.write(b"c")
    reader = waiter(log.commits.gate_all())
    log.held.run()
    await reader
    assert (log.durable, log.commits.flushes) == (3, 2)


async def test_a_reader_of_everything_waits_for_a_flush_under_way(log: Log) -> None:
    log.open()
    for key in (b"a", b"b"):
        log.write(key)
    await turns()
    reader = waiter(log.commits.gate_all())
    assert not reader.done()
    log.held.run()
    await reader


async def test_always_flushes_every_write_by_itself(log: Log) -> None:
    log.open("always")
    writers = [waiter(log.write(b"%d" % number)) for number in range(3)]
    while log.held.waiting or not all(each.done() for each in writers):
        await turns()
        if log.held.waiting:
            log.held.run()
    assert log.commits.flushes == 3


async def test_always_gates_readers_too(log: Log) -> None:
    log.open("always")
    for key in (b"a", b"b"):
        log.write(key)
    await turns()
    reader = waiter(log.commits.gate(b"b"))
    log.held.run()
    await turns(1)
    assert not reader.done()
    await reader


async def test_os_makes_nobody_wait_and_flushes_nothing(log: Log) -> None:
    log.open("os")
    assert log.write(b"a") is None
    assert log.commits.gate(b"a") is None
    assert log.commits.gate_all() is None
    await log.commits.settle()
    assert log.commits.flushes == 0


async def test_a_cancelled_writer_harms_nobody_else(log: Log) -> None:
    log.open()
    gone, *others = (waiter(log.write(b"a")) for _ in range(3))
    await turns()
    gone.cancel()
    log.held.run()
    await asyncio.gather(*others)
    assert log.durable == 3


async def test_a_cancelled_reader_harms_nobody_else(log: Log) -> None:
    log.open()
    written = [waiter(log.write(b"a")), waiter(log.write(b"b"))]
    await turns()
    gone, kept = (waiter(log.commits.gate(b"a")) for _ in range(2))
    gone.cancel()
    log.held.run()
    await asyncio.gather(*written, kept)


async def test_settling_ends_when_all_that_was_written_is_durable(log: Log) -> None:
    log.open()
    for key in (b"a", b"b"):
        log.write(key)
    settled = asyncio.ensure_future(log.commits.settle())
    await turns()
    log.write(b"c")
    assert not settled.done()
    log.held.run()
    await settled
    assert log.durable == 3


async def test_settling_ends_beside_writers_who_go_on(log: Log) -> None:
    log.open()
    for key in (b"a", b"b"):
        log.write(key)
    await turns()
    settled = asyncio.ensure_future(log.commits.settle())
    await turns()
    later = [log.write(b"c"), log.write(b"d")]
    log.held.run()
    await turns(10)
    assert (settled.done(), [waiter(each).done() for each in later]) == (True, [False, False])
    log.held.run()
    await asyncio.gather(*map(waiter, later))


@pytest.fixture
def failing(log: Log) -> Log:
    log.open()
    log.error = OSError(28, "No space left on device")
    return log


async def test_a_failed_flush_refuses_its_whole_group(failing: Log) -> None:
    writers = [waiter(failing.write(b"a")), waiter(failing.write(b"b"))]
    await turns()
    failing.held.run()
    refusals = await asyncio.gather(*writers, return_exceptions=True)
    assert [type(refusal) for refusal in refusals] == [Unavailable, Unavailable]


async def test_the_refusal_gives_the_reason_and_says_that_the_outcome_is_unknown(failing: Log) -> None:
    with pytest.raises(Unavailable, match="No space left on device") as caught:
        await waiter(failing.write(b"a"))
    assert (caught.value.outcome, caught.value.retryable) == ("unknown", True)


async def test_a_failed_flush_refuses_the_readers_it_gated(failing: Log) -> None:
    for key in (b"a", b"b"):
        failing.write(key)
    await turns()
    reader = waiter(failing.commits.gate(b"a"))
    failing.held.run()
    with pytest.raises(Unavailable):
        await reader


async def test_a_failed_flush_refuses_those_who_wait_for_the_next_one(failing: Log) -> None:
    for key in (b"a", b"b"):
        failing.write(key)
    await turns()
    late = waiter(failing.write(b"c"))
    failing.held.run()
    with pytest.raises(Unavailable):
        await late


async def test_the_owner_is_told_of_a_failed_flush_once(failing: Log) -> None:
    with pytest.raises(Unavailable):
        await waiter(failing.write(b"a"))
    assert failing.failures == [failing.error]


async def test_nobody_is_left_waiting_when_the_owner_fails_at_the_failure(failing: Log) -> None:
    def raises(error: Exception) -> None:
        raise RuntimeError("closing failed too")

    commits = GroupCommit(failing._flush, "group", failing.environment, failing.executor, raises)
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    with pytest.raises(Unavailable):
        await waiter(commits.join([b"a"]))
    assert str(reported[0]) == "closing failed too"


async def test_nothing_is_gated_after_a_failure(failing: Log) -> None:
    with pytest.raises(Unavailable):
        await waiter(failing.write(b"a"))
    assert failing.commits.gate(b"a") is None
    assert failing.commits.gate_all() is None


async def test_settling_ends_with_a_failure_and_raises_nothing(failing: Log) -> None:
    written = waiter(failing.write(b"a"))
    await failing.commits.settle()
    assert written.exception() is not None


async def test_an_executor_that_takes_no_work_is_a_failed_flush(log: Log) -> None:
    log.executor = ClosedExecutor()
    log.open()
    writers = [waiter(log.write(b"a")), waiter(log.write(b"b"))]
    refusals = await asyncio.gather(*writers, return_exceptions=True)
    assert [type(refusal) for refusal in refusals] == [Unavailable, Unavailable]


async def test_a_flush_that_the_executor_gave_up_is_a_failed_flush(log: Log) -> None:
    log.open()
    writers = [waiter(log.write(b"a")), waiter(log.write(b"b"))]
    await turns()
    log.held.waiting[0][0].cancel()
    refusals = await asyncio.gather(*writers, return_exceptions=True)
    assert [type(refusal) for refusal in refusals] == [Unavailable, Unavailable]


@pytest.mark.parametrize("durability", ["group", "always"])
async def test_no_writer_is_answered_before_its_own_flush(log: Log, durability: Durability) -> None:
    """A hundred writers at odd moments, each of which looks at the log when it is answered."""
    log.open(durability)
    early: list[int] = []

    async def write(number: int) -> None:
        await turns(number % 7)
        made = log.made + 1
        await waiter(log.write(b"%d" % (number % 5)))
        if log.durable < made:
            early.append(number)

    tasks = [asyncio.ensure_future(write(number)) for number in range(100)]
    await until(lambda: all(task.done() for task in tasks), log)
    assert early == []
    assert log.durable == 100


async def until(done: Callable[[], bool], log: Log) -> None:
    while not done():
        await turns(1)
        if log.held.waiting:
            log.held.run()


# -- those who come with every turn of the loop


async def comer(log: Log, number: int, turn: int) -> None:
    """Writes after so many turns."""
    await turns(turn)
    await waiter(log.write(b"%d" % number))


async def test_while_writers_keep_coming_they_are_waited_for(log: Log) -> None:
    log.open()
    log.commits.flush_ns = INLINE_MAX_NS
    writers = [asyncio.ensure_future(comer(log, number, number // 2)) for number in range(8)]
    await turns(7)
    log.held.run()
    await asyncio.gather(*writers)
    assert log.commits.flushes == 1


async def test_a_turn_without_a_writer_ends_the_wait(log: Log) -> None:
    log.open()
    log.commits.flush_ns = INLINE_MAX_NS
    early = [asyncio.ensure_future(comer(log, number, 0)) for number in range(2)]
    late = asyncio.ensure_future(comer(log, 2, 5))
    await turns(8)
    log.held.run()
    await asyncio.gather(*early, late)
    assert log.commits.flushes == 2


async def test_writers_are_waited_for_no_longer_than_a_flush_takes(log: Log) -> None:
    log.open()
    log.commits.flush_ns = 1_000
    writers = [asyncio.ensure_future(comer(log, number, number // 2)) for number in range(8)]
    for _ in range(4):
        await turns(1)
        log.environment.advance(1e-6)
    assert len(log.held.waiting) == 1
    await until(lambda: all(each.done() for each in writers), log)


async def test_those_who_enter_together_are_answered_after_one_flush_each_with_its_own(log: Log) -> None:
    log.open()
    loop = asyncio.get_running_loop()
    answers: list[tuple[asyncio.Future[int], int]] = [(loop.create_future(), number) for number in range(3)]
    log.made += 3
    log.commits.enter([b"a", b"b"], answers)
    gate = waiter(log.commits.gate(b"b"))
    assert not gate.done()
    log.held.run()
    assert [await each for each, _ in answers] == [0, 1, 2]
    await gate
    assert (log.durable, log.commits.flushes, log.commits.gate(b"a")) == (3, 1, None)


async def test_one_who_enters_alone_is_flushed_at_once(log: Log) -> None:
    log.open()
    lone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    log.made += 1
    log.commits.enter([b"a"], [(lone, "answer")])
    assert (log.durable, lone.result()) == (1, "answer")


async def test_who_enters_during_a_flush_waits_for_the_next_one(log: Log) -> None:
    log.open()
    log.flush_s = 0.05
    first = [waiter(log.write(b"a")), waiter(log.write(b"b"))]
    await turns()
    late: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    log.made += 1
    log.commits.enter([b"c"], [(late, 7)])
    log.held.run()
    await asyncio.gather(*first)
    assert not late.done()
    log.held.run()
    assert await late == 7
