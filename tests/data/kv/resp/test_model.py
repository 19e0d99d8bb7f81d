"""The door against a plain model of Redis, over commands drawn at random."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from tests.data.kv.resp.conversation import Fault, House, pairs
from tests.data.kv.resp.model import WRONG, Commands, Model, expected

from soundstage.data.kv import KeyValue

STEPS = 600

TOLERANCE_MS = 10
"""A token is made a little ahead of the clock when several are made within one microsecond."""


def plain(command: str, reply: Any) -> Any:
    """A reply as the model writes it."""
    if isinstance(reply, Fault):
        return reply.line.split()[0]
    if command == "HGETALL":
        return {name.decode(): value.decode() for name, value in pairs(reply).items()}
    if command == "HKEYS":
        return {name.decode() for name in reply}
    if isinstance(reply, list):
        return [value if value is None else value.decode() for value in reply]
    return reply.decode() if isinstance(reply, bytes) else reply


def same(command: str, ours: Any, theirs: Any) -> bool:
    if command == "PTTL" and isinstance(theirs, int) and theirs >= 0:
        return isinstance(ours, int) and abs(ours - theirs) <= TOLERANCE_MS
    return ours == theirs


@pytest.mark.parametrize("seed", range(10))
async def test_the_door_answers_as_redis_would(house: House, seed: int) -> None:
    talk, commands, model, draw = house.talk(), Commands(seed), Model(), Random(seed)
    for step in range(STEPS):
        # What is due within a millisecond is due for one of the two already.
        house.environment.advance(draw.choice([0.001, 0.05, 0.05, 0.35]))
        model.now_ms = house.environment.now_ns() // 1_000_000
        words = commands.next()
        ours, theirs = plain(words[0], await talk.ask(*words)), expected(model, words)
        assert same(words[0], ours, theirs), f"step {step}: {words}: {ours!r}, not {theirs!r}"


@pytest.mark.parametrize("seed", range(3))
async def test_pipelines_are_answered_as_commands_are(house: House, seed: int) -> None:
    talk, commands, model = house.talk(), Commands(100 + seed), Model()
    model.now_ms = house.environment.now_ns() // 1_000_000
    for _ in range(40):
        sent = [commands.next() for _ in range(25)]
        for words, reply in zip(sent, await talk.ask_all(*sent), strict=True):
            assert same(words[0], plain(words[0], reply), expected(model, words)), words


@pytest.mark.parametrize("seed", range(3))
async def test_no_record_is_ever_both_a_string_and_a_hash(house: House, seed: int) -> None:
    talk, commands = house.talk(), Commands(200 + seed)
    kv = house.stage.client(KeyValue, "resp")
    for _ in range(STEPS):
        await talk.ask(*commands.next())
        house.environment.advance(0.01)
        for number in range(4):
            keys = [item.key for item in (await kv.get_items(id=f"k{number}")).items]
            assert keys == [b""] or b"" not in keys


def test_the_commands_reach_every_kind_of_answer() -> None:
    commands, model = Commands(1), Model()
    seen: set[Any] = set()
    for step in range(3_000):
        model.now_ms = step * 50
        words = commands.next()
        reply = expected(model, words)
        seen.add((words[0], WRONG if reply == WRONG else type(reply).__name__))
    assert len(seen) > 45
