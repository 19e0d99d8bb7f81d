from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import pytest
from tests.testing.simulation.theatre import at_play, noted

from soundstage.core.job import ENDED, JobInfo
from soundstage.core.time import Instant
from soundstage.testing.simulation.chores.api import Chore
from soundstage.testing.simulation.chores.service import content
from soundstage.testing.simulation.jobs import CHORES, Act, JobsPlay, JobsScenario, JobStep
from soundstage.testing.simulation.jobs_book import APART_S, ATTEMPTS, REMEMBERED_S, JobsBook, Story
from soundstage.testing.simulation.scenario import Divergence, Site

T = TypeVar("T")
SCENARIO = JobsScenario()


def played(body: Callable[[Site, JobsPlay], Awaitable[T]]) -> T:
    return at_play(JobsPlay, body, systems=(CHORES,), config=SCENARIO.config)


def step(act: Act, number: int = 1, **choices: Any) -> JobStep:
    return JobStep(number=number, client=0, act=act, **choices)


@pytest.mark.parametrize("operation", ["resuming", "restarting", "failing"])
@pytest.mark.parametrize("choices", [{}, {"bytes": 180_000}, {"fails": True}])
def test_a_job_that_nothing_happens_to_comes_to_its_end(operation: Any, choices: dict[str, Any]) -> None:
    async def body(site: Site, playing: JobsPlay) -> set[str]:
        await playing.play(step("start", operation=operation, steps=3, **choices))
        await site.environment.sleep(20)
        await playing.play(step("get", 2))
        await playing.play(step("watch", 3))
        await playing.play(step("result", 4))
        await playing.play(step("list", 5))
        await playing.settle()
        return noted()

    ended = "failed" if choices.get("fails") else "succeeded"
    assert played(body) == {"started", ended, "watched"}


@pytest.mark.parametrize(
    ("operation", "ended"), [("resuming", "succeeded"), ("restarting", "succeeded"), ("failing", "failed")]
)
def test_a_job_whose_processes_die_ends_as_its_operation_declares(operation: Any, ended: str) -> None:
    async def body(site: Site, playing: JobsPlay) -> set[str]:
        await playing.play(step("start", operation=operation, steps=20))
        await site.environment.sleep(5)
        for choice in (0, 1):
            await playing.play(step("kill", 2, choice=choice, for_s=0.5))
        await site.environment.sleep(60)
        await playing.play(step("get", 3))
        await playing.settle()
        return noted()

    assert ended in played(body)


def test_a_job_of_a_process_that_was_paused_is_taken_over() -> None:
    async def body(site: Site, playing: JobsPlay) -> set[str]:
        await playing.play(step("start", operation="resuming", steps=20, bytes=10))
        await site.environment.sleep(5)
        for choice, number in ((0, 2), (1, 3)):
            await playing.play(step("pause", number, choice=choice, for_s=30.0))
            await site.environment.sleep(0.5 if choice else 25.0)
        await site.environment.sleep(100)
        await playing.play(step("get", 4))
        await playing.settle()
        return noted()

    assert "succeeded" in played(body)


def test_a_cancelled_job_ends_as_such() -> None:
    async def body(site: Site, playing: JobsPlay) -> set[str]:
        await playing.play(step("start", steps=20, bytes=10))
        await site.environment.sleep(5)
        await playing.play(step("cancel", 2))
        await site.environment.sleep(5)
        await playing.play(step("get", 3))
        await playing.settle()
        return noted()

    assert played(body) == {"started", "cancelled"}


def test_a_process_that_is_stopped_gives_its_jobs_back() -> None:
    async def body(site: Site, playing: JobsPlay) -> list[tuple[str, int]]:
        for number in (1, 2, 3):
            await playing.play(step("start", number, steps=20))
        await site.environment.sleep(5)
        await playing.play(step("stop", 4, choice=0))
        await playing.play(step("stop", 5, choice=1))
        await playing.settle()
        ended = [each.ended for each in playing.book.stories.values()]
        return [("", 0) if each is None else (each.state, each.attempt) for each in ended]

    assert played(body) == [("succeeded", 1)] * 3


def test_one_key_is_one_job() -> None:
    async def body(site: Site, playing: JobsPlay) -> set[str]:
        await playing.play(step("start", steps=1))
        await playing.play(step("repeat", 2))
        return noted()

    assert played(body) == {"started", "repeated"}


CHORE = Chore(number=7, steps=2, bytes=10)


def info(**changes: Any) -> JobInfo:
    found = JobInfo(job_id="j", system="chores", operation="resuming", state="running", created_at=Instant(1))
    return msgspec.structs.replace(found, **changes)


def story(**changes: Any) -> Story:
    made = Story("resuming", CHORE)
    made.done = {0, 1}
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def died(code: str = "unavailable") -> dict[str, Any]:
    return {"state": "failed", "error": {"code": code}}


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ({}, {"state": "succeeded"}),
        ({"done": {0}, "chore": Chore(number=7, steps=2)}, {"state": "succeeded"}),
        ({}, {"state": "cancelled"}),
        ({}, died()),
        ({}, died("not_found")),
        ({}, died("internal")),
        ({"failed": True}, died("internal")),
        ({"cancelled": True}, {"state": "cancelled", "files": [None]}),
        ({"operation": "failing", "certainly_cancelled": True}, died()),
    ],
)
def test_an_end_that_is_not_right_is_found_out(known: dict[str, Any], shown: dict[str, Any]) -> None:
    with pytest.raises(Divergence):
        story(**known).see(info(**shown), None)


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ({}, {"state": "queued"}),
        ({}, {"state": "running"}),
        ({"chore": Chore(number=7, steps=2)}, {"state": "succeeded"}),
        ({}, {"state": "succeeded", "files": [None]}),
        ({"cancelled": True}, {"state": "cancelled"}),
        ({"operation": "failing"}, died()),
        ({"failed": True}, died()),
        ({}, {**died(), "attempt": ATTEMPTS}),
        ({"chore": Chore(number=7, steps=2, fails=True)}, died("not_found")),
    ],
)
def test_an_end_that_is_right_is_none_to_complain_of(known: dict[str, Any], shown: dict[str, Any]) -> None:
    told = story(**known)
    told.see(info(**shown), None)
    assert (told.ended is not None) == (shown["state"] in ENDED)


def test_a_job_that_goes_on_behind_its_end_is_found_out() -> None:
    told = story(cancelled=True)
    told.see(info(state="cancelled"), None)
    # Who asked before it ended may be told of what was then.
    told.see(info(), None)
    with pytest.raises(Divergence, match="has ended as"):
        told.see(info(), told.ended)
    with pytest.raises(Divergence, match="has ended as"):
        told.see(info(state="succeeded"), None)


class Context:
    """As much of a job's context as the book looks at."""

    def __init__(self, fence: int, job_id: str = "j") -> None:
        self.fence = fence
        self.job_id = job_id

    def check(self) -> None:
        """It is held."""


def said(body: Callable[[JobsBook, Any], None], operation: str = "resuming") -> str:
    book = JobsBook()
    book.stories[7] = Story(operation, CHORE)
    body(book, Context)
    return str(book.failure)


def test_an_attempt_that_goes_back_behind_a_checkpoint_is_found_out() -> None:
    def body(book: JobsBook, context: Any) -> None:
        book.began("resuming", CHORE, context(1), 0)
        book.kept(CHORE, context(1), 2)
        book.over(CHORE, context(1))
        book.began("resuming", CHORE, context(2), 1)

    assert said(body) == "j of resuming goes on from 1, and had kept 2"


def test_one_that_should_begin_anew_and_goes_on_is_found_out() -> None:
    assert "goes on from 1" in said(lambda book, context: book.began("restarting", CHORE, context(1), 1), "restarting")


def test_one_that_is_begun_once_and_is_begun_again_is_found_out() -> None:
    def body(book: JobsBook, context: Any) -> None:
        book.began("failing", CHORE, context(1), 0)
        book.began("failing", CHORE, context(2), 0)

    assert said(body, "failing") == "j of failing was begun again"


def test_an_attempt_that_goes_on_beside_a_later_one_is_found_out() -> None:
    def body(book: JobsBook, context: Any) -> None:
        book.began("resuming", CHORE, context(1), 0)
        book.did(CHORE, context(2), 0)
        book.did(CHORE, context(1), 0)

    assert "goes on under the fence 1, and was begun under 2" in said(body)


def test_more_than_may_run_at_once_are_found_out() -> None:
    def body(book: JobsBook, context: Any) -> None:
        book.stories[8] = Story("restarting", CHORE)
        book.began("restarting", CHORE, context(1, "j"), 0)
        book.began("restarting", msgspec.structs.replace(CHORE, number=8), context(1, "k"), 0)

    assert said(body, "restarting") == "['restarting', 'restarting'] run at once"


def test_a_file_tells_whose_it_is() -> None:
    assert content(CHORE) == b"7 7 7 7 7 "
    assert len(content(Chore(number=123, steps=0, bytes=180_000))) == 180_000


def in_history(ended: bool) -> Story:
    story = Story("resuming", Chore(number=1, steps=0, bytes=0, fails=False))
    story.job_id = "0198f0e8-0000-7000-8000-000000000000"
    if ended:
        story.ended = an_end(story.job_id)
    return story


def an_end(job_id: str) -> JobInfo:
    started = Instant.from_us(int(job_id.replace("-", "")[:12], 16) * 1_000)
    return JobInfo(
        job_id=job_id,
        system="chores",
        operation="resuming",
        state="succeeded",
        created_at=started,
        created_by="local",
        ended_at=Instant.from_us(started.us + 5_000_000),
    )


BEGAN_S = int("0198f0e80000", 16) / 1e3


@pytest.mark.parametrize(("ended", "after_s"), [(True, 5.0), (False, 0.0)])
def test_a_job_is_remembered_for_its_time(ended: bool, after_s: float) -> None:
    story = in_history(ended)
    with pytest.raises(Divergence, match="is forgotten"):
        story.see_nothing(BEGAN_S + after_s + REMEMBERED_S - APART_S - 1, None)
    story.see_nothing(BEGAN_S + after_s + REMEMBERED_S, None)
    assert story.forgotten


def test_a_job_that_is_remembered_for_too_long_is_found_out() -> None:
    story = in_history(True)
    assert story.job_id is not None
    info = an_end(story.job_id)
    story.see_late(info, BEGAN_S + REMEMBERED_S)
    with pytest.raises(Divergence, match="for too long"):
        story.see_late(info, BEGAN_S + 5 + REMEMBERED_S + APART_S + 1)


def test_a_job_that_was_forgotten_is_not_remembered_again() -> None:
    story = in_history(True)
    assert story.job_id is not None
    story.see_nothing(BEGAN_S + 5 + REMEMBERED_S, None)
    with pytest.raises(Divergence, match="for too long"):
        story.see_late(an_end(story.job_id), BEGAN_S)


def test_jobs_and_their_files_are_forgotten_in_the_end() -> None:
    async def body(site: Site, playing: JobsPlay) -> set[str]:
        await playing.play(step("start", operation="resuming", steps=1, bytes=180_000))
        await site.environment.sleep(20)
        assert (await site.host.blobs.usage()).blobs == 1
        await playing.settle()
        await playing.play(step("get", 2))
        return noted()

    assert played(body) == {"started", "forgotten"}
