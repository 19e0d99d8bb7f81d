from __future__ import annotations

from random import Random

import pytest
from tests.testing.simulation.kv.stand import at_scene, step

from soundstage.testing.simulation.kv.performer import HELD_S, Performer
from soundstage.testing.simulation.kv.scene import DRIFT_PAST_US, Scene
from soundstage.testing.simulation.kv.steps import DELETES, RECORDS, Act, KeyValueStep, Shape
from soundstage.testing.simulation.storage import RocksStorage
from soundstage.testing.simulation.turn import present


async def performed(scene: Scene, *steps: KeyValueStep) -> set[str]:
    """The situations that the steps, played in turn, got into."""
    performer = Performer(scene)
    for each in steps:
        await getattr(performer, each.act)(each)
    turn = present()
    assert turn is not None
    return turn.situations


def situations(*steps: KeyValueStep, seed: int = 1) -> set[str]:
    return at_scene(lambda scene: performed(scene, *steps), seed=seed)


@pytest.mark.parametrize(
    "act", ["put", "delete", "put_if", "delete_if", "get", "walk", "count", "scan", "batch_get", "age"]
)
def test_plain_acts_are_explained(act: Act) -> None:
    first = step("put", number=1, keys=(b"a", b"b"))
    situations(first, step(act, number=2, shape="range", start=b"a"), step("walk", number=3, choice=2))


@pytest.mark.parametrize("choice", [1, 3])
def test_a_write_meets_another_at_its_very_microsecond(choice: int) -> None:
    assert "equal_us" in situations(
        step("put", number=1), step("equal_time", number=2, shape="marker", choice=choice), step("walk", number=3)
    )


@pytest.mark.parametrize("choice", [0, 1, 3])
def test_a_token_is_used_again_for_another_payload(choice: int) -> None:
    assert "reused_token" in situations(
        step("put", number=1), step("reuse_token", number=2, choice=choice), step("walk", number=3)
    )


def test_a_conditional_token_used_again_is_refused() -> None:
    assert "token_reused_refused" in situations(
        step("put_if", number=1, aim="item_absent"), step("reuse_token", number=2, choice=1)
    )


@pytest.mark.parametrize("shape", DELETES)
@pytest.mark.parametrize("choice", [0, 1, 2, 3])
def test_a_late_write_stays_under_what_buried_it(shape: Shape, choice: int) -> None:
    found = situations(step("put", number=1), step("late", number=2, shape=shape, choice=choice))
    assert found == ({f"late_under_{shape}"} if choice % 4 != 1 else {"equal_us"})


@pytest.mark.parametrize("shape", DELETES)
def test_a_straggler_meets_its_tombstone(shape: Shape) -> None:
    async def body(scene: Scene) -> tuple[set[str], float]:
        found = await performed(scene, step("straggle", shape=shape))
        return found, scene.site.environment.monotonic_ns() / 1e9

    found, seconds = at_scene(body, delete_ttl_min="1s", delete_ttl_max="20s")
    assert {"straggled", f"late_under_{shape}"} - found <= {f"late_under_{shape}"}
    assert seconds >= HELD_S


def test_a_straggler_is_as_old_as_the_door_takes() -> None:
    async def body(scene: Scene) -> int:
        await performed(scene, step("straggle", number=9, shape="record"))
        newest = scene.certain("straggler-9").newest.time_us
        return scene.site.environment.now_us() - newest

    age_us = at_scene(body)
    assert DRIFT_PAST_US < age_us < DRIFT_PAST_US + 60_000_000


def test_a_conditional_write_repeated_after_an_overwrite_changes_nothing() -> None:
    for choice in range(3):
        assert "conditional_retry_after_overwrite" in situations(
            step("repeat_if_overwritten", shape="record", choice=choice)
        )


def test_a_conditional_write_repeated_as_late_as_can_be_changes_nothing() -> None:
    assert "straggling_repetition" in situations(step("repeat_if_late"))


def test_a_write_is_repeated() -> None:
    assert "repeated" in situations(step("put", number=1), step("repeat", number=2))


@pytest.mark.parametrize("act", ["repeat", "reuse_token"])
def test_nothing_is_repeated_before_anything_was_written(act: Act) -> None:
    assert situations(step(act)) == set()


@pytest.mark.parametrize("ttl_us", [None, 1_000, 5_000_000])
def test_an_item_is_read_on_both_sides_of_its_expiry(ttl_us: int | None) -> None:
    assert "expiry_boundary" in situations(step("at_expiry", ttl_us=ttl_us))


def test_what_was_seen_before_it_was_acknowledged_lasts() -> None:
    storage = next(
        found for seed in range(100) if (found := RocksStorage(Random(seed))).durability == "group" and found.flush_s
    )

    async def body(scene: Scene) -> int:
        scene.site.loop.executor_s = 0.05
        await performed(scene, *(step("glimpse", number=number) for number in range(8)))
        return scene.site.host.restarts

    assert at_scene(body, storage=storage) > 0


def test_old_tokens_are_used_now_and_then() -> None:
    async def body(scene: Scene) -> int:
        await performed(scene, step("put", choice=0, age_us=60_000_000))
        return scene.site.environment.now_us() - scene.certain("alpha").newest.time_us

    assert at_scene(body) >= 60_000_000


def test_every_record_is_read_when_everything_is_swept() -> None:
    async def body(scene: Scene) -> set[str]:
        scene.site.transcript = []
        await performed(scene, step("age"))
        return {line.split()[3] for line in scene.site.transcript}

    assert at_scene(body) == {"kv/get_items"}
    assert len(RECORDS) > 1
