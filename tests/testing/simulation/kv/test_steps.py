from __future__ import annotations

from random import Random
from typing import get_args

import msgspec
from tests.testing.simulation.kv.stand import at_scene

from soundstage.testing.simulation.kv.performer import Performer
from soundstage.testing.simulation.kv.scene import Scene
from soundstage.testing.simulation.kv.steps import BOUNDS, DELETES, KEYS, RECORDS, Act, KeyValueStep, draw

STEPS = [draw(Random(number), number, 0) for number in range(3_000)]


def test_one_seed_is_one_step() -> None:
    assert draw(Random(5), 1, 2) == draw(Random(5), 1, 2)


def test_every_act_can_be_performed() -> None:
    async def body(scene: Scene) -> list[str]:
        return [act for act in get_args(Act) if not callable(getattr(Performer(scene), act, None))]

    assert at_scene(body) == []


def test_keys_of_a_step_are_different_and_known() -> None:
    assert all(len(set(step.keys)) == len(step.keys) >= 1 for step in STEPS)
    assert {key for step in STEPS for key in step.keys} == set(KEYS)


def test_keys_and_records_include_what_is_hard_to_store() -> None:
    assert b"" in KEYS
    assert b"\xff\xff" in KEYS
    assert any(b"\0" in key for key in KEYS)
    assert any("\0" in record for record in RECORDS)
    assert any(not record.isascii() for record in RECORDS)


def test_keys_are_in_their_order() -> None:
    assert sorted(KEYS) == list(KEYS)


def test_ranges_are_open_closed_and_never_reversed() -> None:
    assert {step.start is None for step in STEPS} == {True, False}
    assert {step.end is None for step in STEPS} == {True, False}
    assert all(step.start < step.end for step in STEPS if step.start is not None and step.end is not None)
    assert {bound for step in STEPS for bound in (step.start, step.end)} == {None, *BOUNDS}


def test_deletes_are_of_every_shape() -> None:
    assert {step.shape for step in STEPS} == set(DELETES)


def test_a_step_is_printed_and_read_back() -> None:
    for step in STEPS[:50]:
        assert msgspec.json.decode(msgspec.json.encode(step), type=KeyValueStep) == step
