from __future__ import annotations

import pytest
from tests.testing.simulation.kv.stand import at_scene, step
from tests.testing.simulation.kv.writes import acknowledged, put

from soundstage.core.errors import Unavailable
from soundstage.data.kv.api import CountItemsReply, KeyValue
from soundstage.testing.simulation.climate import Climate
from soundstage.testing.simulation.faults import FaultRates
from soundstage.testing.simulation.kv.scene import REMEMBERED_MAX, Scene, Sent, time_of, token_at
from soundstage.testing.simulation.kv.writing import Writer, put_of
from soundstage.testing.simulation.scenario import Divergence


def test_a_client_is_made_once_for_each_way_of_calling() -> None:
    async def body(scene: Scene) -> None:
        assert scene.kv(step()) is scene.kv(step())
        assert scene.kv(step()) is not scene.kv(step(client=1))
        assert scene.kv(step(), deadline_s=0.5).options.deadline == 0.5

    at_scene(body)


def test_a_moment_spans_the_call() -> None:
    async def body(scene: Scene) -> tuple[int, bool]:
        watch = scene.watch()
        await scene.site.environment.sleep(1.0)
        moment = scene.moment(watch)
        scene.close(watch)
        return moment.most_us - moment.least_us, moment.began < moment.ended

    assert at_scene(body) == (1_000_000, True)


def test_a_moment_is_wide_when_the_clock_stepped_meanwhile() -> None:
    async def body(scene: Scene) -> int:
        watch = scene.watch()
        scene.site.environment.skew_s = 0.3
        moment = scene.moment(watch)
        scene.close(watch)
        return moment.most_us - moment.least_us

    assert at_scene(body, climate=Climate(skew_s=0.5)) >= 2_000_000


async def count(kv: KeyValue) -> CountItemsReply:
    return await kv.count_items(id="alpha")


def test_a_question_is_asked_until_it_is_answered() -> None:
    async def body(scene: Scene) -> int:
        scene.site.host.set_rates(FaultRates(lost_before=0.8))
        return (await scene.ask(step(), 0, count)).count

    assert at_scene(body) == 0


def test_a_question_that_is_never_answered_is_a_divergence() -> None:
    async def body(scene: Scene) -> None:
        scene.site.host.set_rates(FaultRates(lost_before=1.0))
        await scene.ask(step(), 0, count)

    with pytest.raises(Divergence, match="no answer in 400 tries"):
        at_scene(body)


def test_a_read_that_is_refused_for_what_it_asks_is_a_divergence() -> None:
    async def body(scene: Scene) -> None:
        async def refused(kv: KeyValue) -> None:
            raise Unavailable("the record has not reached min_version", field="min_version")

        await scene.ask(step(), 0, refused)

    with pytest.raises(Divergence, match="min_version"):
        at_scene(body)


def test_a_token_that_does_not_beat_what_was_read_is_a_divergence() -> None:
    async def body(scene: Scene) -> None:
        scene.site.machine(0).seen_us = scene.site.environment.now_us() + 1_000_000
        scene.token(step())

    with pytest.raises(Divergence, match="client 0 has read"):
        at_scene(body)


def test_times_of_tokens_are_in_microseconds() -> None:
    assert time_of(token_at(17, "t")) == 17


def sent(scene: Scene, token: str) -> Sent:
    return put_of("alpha", [b"a"], b"", None, token_at(scene.site.environment.now_us(), token), False)


def test_an_acknowledged_write_is_recalled() -> None:
    async def body(scene: Scene) -> str | None:
        await Writer(scene).send(step(), sent(scene, "t"))
        found = scene.recall(step())
        return None if found is None else found.write.token

    assert at_scene(body) == "t"


def test_nothing_is_recalled_of_a_record_that_was_not_written() -> None:
    async def body(scene: Scene) -> object:
        await Writer(scene).send(step(), sent(scene, "t"))
        return scene.recall(step(record="b"))

    assert at_scene(body) is None


def test_a_write_with_requests_under_way_is_not_recalled() -> None:
    async def body(scene: Scene) -> object:
        scene.remember(sent(scene, "t"))
        scene.site.network.passage("t").under_way = 1
        return scene.recall(step())

    assert at_scene(body) is None


def test_so_many_writes_are_remembered() -> None:
    async def body(scene: Scene) -> int:
        for number in range(2 * REMEMBERED_MAX):
            scene.remember(sent(scene, f"{number}"))
        return len(scene.remembered["alpha"])

    assert at_scene(body) == REMEMBERED_MAX


def test_what_is_certain_is_one_world() -> None:
    async def body(scene: Scene) -> str:
        acknowledged(scene.history, put("a", 10, b"k"))
        return scene.certain("record").items[b"k"].token

    assert at_scene(body) == "a"


def test_seeds_choose_the_namespace_s_configuration() -> None:
    async def body(scene: Scene) -> tuple[str, bool, str | None]:
        config = scene.config
        return config["key_order"], config["dedicated"], config.get("delete_ttl_min")

    chosen = {at_scene(body, seed=seed) for seed in range(40)}
    assert {each[0] for each in chosen} == {"asc", "desc"}
    assert {each[1] for each in chosen} == {True, False}
    assert {each[2] for each in chosen} == {"1s", "10m", None}
