"""Who waits for what a thread does, and what is known of the change when they leave."""

from __future__ import annotations

import asyncio

import pytest

from soundstage.core.errors import DataLoss, NotFound, Unavailable
from soundstage.engines.tables.iceberg.failures import Overtaken
from soundstage.engines.tables.iceberg.work import Tries, Work, doing, work_here


def test_work_goes_on_while_somebody_waits() -> None:
    work = Work(lambda: True)
    work()
    work.commits()
    work()
    assert not work.is_left


def test_work_ends_when_nobody_waits_any_more() -> None:
    work = Work(lambda: True)
    assert work.leave() == "not_applied"
    with pytest.raises(Unavailable):
        work()


def test_a_change_that_was_left_before_it_is_committed_is_not_made() -> None:
    work = Work(lambda: True)
    work.leave()
    with pytest.raises(Unavailable):
        work.commits()
    assert work.leave() == "not_applied"


def test_of_a_change_that_was_left_amid_its_commit_nobody_knows() -> None:
    work = Work(lambda: True)
    work.commits()
    assert work.has_committed
    assert (work.leave(), work.is_left) == ("unknown", True)


def test_work_ends_when_the_engine_stops() -> None:
    work = Work(lambda: False)
    with pytest.raises(Unavailable) as refused:
        work()
    assert (refused.value.outcome, refused.value.retryable) == ("not_applied", False)


def test_a_thread_knows_what_it_does_while_it_does_it() -> None:
    work = Work(lambda: True)
    with doing(work):
        assert work_here() is work
    assert work_here() is None


def test_a_change_that_is_cancelled_is_in_vain_before_its_commit_and_when_others_were_quicker() -> None:
    tries, work, found = Tries(), Work(lambda: True), list[bool]()

    def look() -> None:
        found.append(tries.were_in_vain(asyncio.CancelledError()))

    def overtaken() -> None:
        with tries.by(work):
            look()
            work.commits()
            look()
            raise Overtaken

    with pytest.raises(Overtaken):
        overtaken()
    look()
    assert found == [True, False, True]


@pytest.mark.parametrize(
    ("error", "in_vain"),
    [
        (Overtaken(), True),
        (NotFound("no table"), True),
        (Unavailable("stopped", outcome="not_applied"), True),
        (Unavailable("lost", outcome="unknown"), False),
        (DataLoss("damaged"), False),
    ],
)
def test_a_change_is_in_vain_where_its_error_says_so(error: Exception, in_vain: bool) -> None:
    assert Tries().were_in_vain(error) == in_vain
