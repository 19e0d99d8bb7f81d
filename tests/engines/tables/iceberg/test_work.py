"""Who waits for what a thread does, and what is known of the change when they leave."""

from __future__ import annotations

import pytest

from soundstage.core.errors import Unavailable
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


def test_a_change_may_be_made_once_a_try_commits_and_not_when_others_were_quicker() -> None:
    tries, work, found = Tries(), Work(lambda: True), list[bool]()

    def overtaken() -> None:
        with tries.by(work):
            found.append(tries.may_have_made_it)
            work.commits()
            found.append(tries.may_have_made_it)
            raise Overtaken

    with pytest.raises(Overtaken):
        overtaken()
    assert [*found, tries.may_have_made_it] == [False, True, False]
