"""Questions that brokers answer wrongly, or not, for a moment after they have come back."""

from __future__ import annotations

import asyncio
import weakref
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from soundstage.engines.log.kafka import Link, asking, parse_address, topics
from soundstage.engines.log.kafka.asking import Asking
from soundstage.engines.log.kafka.bridge import Bridge
from soundstage.engines.log.kafka.driver import LATEST, KafkaError, KafkaException, code_of
from soundstage.engines.log.kafka.settings import configuration
from soundstage.engines.log.kafka.topics import Topics
from soundstage.engines.log.port import Bounds, TopicSpec

PLACE = ("main.events", 0)
MISSING, EXISTS, SILENT = "UNKNOWN_TOPIC_OR_PART", "TOPIC_ALREADY_EXISTS", "_TIMED_OUT"
NEVER = object()
NO_RIGHT = "TOPIC_AUTHORIZATION_FAILED"


class Brokers:
    """What the driver calls a client: each question is answered by the next of its answers, the last again and again.

    A text is the name of an error, `NEVER` that nothing comes.
    """

    def __init__(self, **answers: list[Any]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def __getattr__(self, question: str) -> Any:
        def asked(*_given: Any, **_named: Any) -> dict[str, Future[Any]]:
            self.asked.append(question)
            left = self._answers[question]
            answer = left.pop(0) if len(left) > 1 else left[0]
            told: Future[Any] = Future()
            if answer is NEVER:
                return {"it": told}
            if isinstance(answer, str):
                told.set_exception(KafkaException(KafkaError(code_of(answer))))
            else:
                told.set_result(answer)
            return {"it": told}

        return asked


class FalseLink(Link):
    """Asks brokers that there are not."""

    def __init__(self, brokers: Brokers, last: Any = None, options: str = "patience_s=0.2") -> None:
        super().__init__(parse_address("test", urlsplit(f"kafka://nowhere?{options}"), {}, None))
        self.admin = brokers
        self._heard = last

    def renew(self) -> None:
        """There is but one client."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (asking, topics):
        monkeypatch.setattr(module, "PAUSE_LAST_S", 0.001)


def asking_of(brokers: Brokers, last: Any = None) -> Asking:
    return Asking(FalseLink(brokers, last), Bridge(), SystemEnvironment())


def offset(number: int) -> Any:
    return SimpleNamespace(offset=number)


async def test_a_topic_that_a_broker_does_not_know_yet_is_there() -> None:
    brokers = Brokers(list_offsets=[MISSING, MISSING, offset(7)], create_topics=[EXISTS])
    assert await asking_of(brokers).offsets([PLACE], LATEST) == [7]
    assert brokers.asked.count("create_topics") == 2


async def test_who_keeps_an_error_keeps_no_client_and_so_no_connection() -> None:
    asking = asking_of(Brokers(list_offsets=[NO_RIGHT]))
    client = weakref.ref(asking._link.admin)
    with pytest.raises(Forbidden) as kept:
        await asking.answer("list_offsets")
    asking._link.admin = None
    assert kept.value
    assert client() is None


@pytest.mark.parametrize("said", [SimpleNamespace(), NO_RIGHT, "INVALID_REPLICATION_FACTOR"])
async def test_a_topic_that_the_controller_does_not_know_either_is_gone(said: Any) -> None:
    brokers = Brokers(list_offsets=[MISSING], create_topics=[said])
    with pytest.raises(NotFound):
        await asking_of(brokers).offsets([PLACE], LATEST)
    assert brokers.asked == ["list_offsets", "create_topics"]


async def test_of_several_topics_one_that_is_gone_is_enough() -> None:
    brokers = Brokers(create_topics=[EXISTS, SimpleNamespace()])
    assert not await asking_of(brokers).exist(["main.one", "main.two"])


async def test_a_broker_that_never_hears_of_a_topic_is_told_as_one_that_does_not_answer() -> None:
    brokers = Brokers(list_offsets=[MISSING], create_topics=[EXISTS])
    with pytest.raises(Unavailable) as refused:
        await asking_of(brokers).offsets([PLACE], LATEST)
    assert (refused.value.retryable, refused.value.outcome) == (True, "not_applied")


async def test_bounds_that_a_broker_does_not_say_are_asked_for_again() -> None:
    brokers = Brokers(list_offsets=[offset(-1), offset(3), offset(3)])
    assert await asking_of(brokers).bounds([PLACE]) == [Bounds(3, 3)]


async def test_a_time_after_all_entries_has_no_offset() -> None:
    assert await asking_of(Brokers(list_offsets=[offset(-1)])).offset_at(PLACE, 1) is None


async def test_silence_is_told_when_patience_ends() -> None:
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable) as refused:
            await asking_of(Brokers(describe_cluster=[SILENT])).answer("describe_cluster")
    assert refused.value.outcome == "not_applied"


async def test_an_attempt_that_the_driver_never_ends_is_left_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LATE_S", 0.01)
    brokers = Brokers(list_offsets=[NEVER, NEVER, offset(7)])
    link = FalseLink(brokers, options="patience_s=600&attempt_s=0.05")
    async with asyncio.timeout(60):
        assert await Asking(link, Bridge(), SystemEnvironment()).offsets([PLACE], LATEST) == [7]


async def test_who_is_shut_out_meanwhile_is_told_so_when_patience_ends() -> None:
    last = KafkaError(code_of("_AUTHENTICATION"), "no such user")
    with pytest.raises(Unauthenticated) as refused:
        await asking_of(Brokers(create_topics=[SILENT]), last).answer("create_topics", reading=False)
    assert (refused.value.retryable, refused.value.outcome) == (False, "unknown")


def knowing_late(times: int) -> Topics:
    """Topics of a cluster with one, which the broker does not know of the first `times` that it is asked."""
    spec = TopicSpec(name="events", partitions=1)
    link = FalseLink(Brokers())
    given = {name: SimpleNamespace(value=each) for name, each in configuration(spec, link.address.options).items()}
    found = SimpleNamespace(partitions=[0], topic_id="id")
    link.admin = Brokers(
        describe_topics=[*[MISSING] * times, found],
        describe_configs=[given],
        create_topics=[EXISTS],
        incremental_alter_configs=[None],
    )
    return Topics(link, Asking(link, Bridge(), SystemEnvironment()), "main")


async def test_a_topic_is_looked_up_again_where_a_broker_does_not_know_it_yet() -> None:
    known = await knowing_late(1).topic("events")
    assert (known.place, known.incarnation, known.spec.partitions) == ("main.events", "id", 1)


async def test_a_topic_that_is_there_is_made_again_where_a_broker_does_not_know_it_yet() -> None:
    await knowing_late(3).create(TopicSpec(name="events", partitions=1))


async def test_settings_are_changed_once_a_broker_says_so() -> None:
    before, wanted = TopicSpec(name="events", partitions=1), TopicSpec(name="events", partitions=1, retention_us=5_000)
    link = FalseLink(Brokers(), options="patience_s=60")
    old, new = (
        {name: SimpleNamespace(value=each) for name, each in configuration(spec, link.address.options).items()}
        for spec in (before, wanted)
    )
    brokers = link.admin = Brokers(
        describe_topics=[SimpleNamespace(partitions=[0], topic_id="id")],
        describe_configs=[old, old, old, new],
        incremental_alter_configs=[None],
    )
    topics = Topics(link, Asking(link, Bridge(), SystemEnvironment()), "main")
    await topics.create(wanted)
    assert ((await topics.topic("events")).spec, brokers.asked.count("describe_configs")) == (wanted, 4)


async def test_a_topic_that_there_is_not_is_not_found() -> None:
    link = FalseLink(Brokers(describe_topics=[MISSING], describe_configs=[MISSING], create_topics=[SimpleNamespace()]))
    with pytest.raises(NotFound) as refused:
        await Topics(link, Asking(link, Bridge(), SystemEnvironment()), "main").topic("events")
    assert "events" in str(refused.value)


class Stopping(Bridge):
    """Of an engine that stops while somebody pauses."""

    async def pause(self, seconds: float) -> None:
        self.close()


async def test_a_question_is_not_asked_again_once_the_engine_stops() -> None:
    brokers = Brokers(list_topics=[SILENT])
    with pytest.raises(Unavailable) as refused:
        await Asking(FalseLink(brokers), Stopping(), SystemEnvironment()).answer("list_topics")
    assert (refused.value.retryable, brokers.asked) == (False, ["list_topics"])
