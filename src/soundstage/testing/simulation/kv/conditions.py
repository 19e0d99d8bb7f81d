"""Conditions: made with and without knowledge of the present state, and held against possible worlds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from soundstage.core.message import IdempotencyToken
from soundstage.data.kv import api
from soundstage.testing.model import Version
from soundstage.testing.simulation.kv.history import ORIGIN, Write
from soundstage.testing.simulation.kv.judge import Moment, is_live
from soundstage.testing.simulation.kv.scene import Scene, token_at
from soundstage.testing.simulation.kv.steps import KeyValueStep
from soundstage.testing.simulation.kv.worlds import World, Worlds
from soundstage.testing.simulation.scenario import Divergence

NOBODY = token_at(1, "nobody")


def conditions_of(scene: Scene, step: KeyValueStep, record: str) -> list[api.Condition]:
    """What the step demands; by the best of its client's knowledge where its aim is to be true."""
    known = scene.certain(record)
    key = step.keys[0]
    held = known.items.get(key, ORIGIN)
    item = api.Condition(key=key, token=_token(held)) if is_live(held, scene.site.environment.now_us()) else None
    absent = api.Condition(key=key, absent=True)
    newest = api.Condition(token=_token(known.newest))
    match step.aim:
        case "item_absent":
            return [absent]
        case "item_token":
            return [item or absent]
        case "record_absent":
            return [api.Condition(absent=True)]
        case "record_token":
            return [newest]
        case "both":
            return [item or absent, newest]
        case "wrong_token":
            return [api.Condition(key=key, token=NOBODY)]


def check_accepted(
    scene: Scene, write: Write, asked: api.Condition | Sequence[api.Condition], time_us: int, moment: Moment
) -> None:
    """Raise `Divergence` unless the conditions may have held, and `time_us` be the stamp, at one moment."""
    conditions = _listed(asked)
    worlds = Worlds(scene.history.record(write.record), moment.began, moment.ended, without=write)
    if not worlds.exact:
        if time_us not in {max(write.token_time_us, newest.time_us + 1) for newest in worlds.newest_options()}:
            raise Divergence(f"{write.token} was stamped {time_us}, which nothing in {write.record!r} asks for")
        return
    for world in worlds.all:
        stamp_us = max(write.token_time_us, world.newest.time_us + 1) if world.newest is not ORIGIN else None
        if time_us == (write.token_time_us if stamp_us is None else stamp_us) and _may_hold(world, conditions, moment):
            return
    raise Divergence(
        f"{write.token} of {write.token_time_us} was stamped {time_us} under {conditions}, in none of "
        f"{len(worlds.all)} worlds, such as {_shown(worlds.all[0], conditions)}"
    )


def check_refused(scene: Scene, write: Write, asked: api.Condition | Sequence[api.Condition], moment: Moment) -> None:
    """Raise `Divergence` unless some condition may have failed."""
    conditions = _listed(asked)
    worlds = Worlds(scene.history.record(write.record), moment.began, moment.ended, without=write)
    if not worlds.exact or any(_may_fail(world, conditions, moment) for world in worlds.all):
        return
    raise Divergence(
        f"{write.token} was refused under {conditions}, which hold in all of {len(worlds.all)} worlds, "
        f"such as {_shown(worlds.all[0], conditions)}"
    )


def _listed(asked: api.Condition | Sequence[api.Condition]) -> Sequence[api.Condition]:
    return [asked] if isinstance(asked, api.Condition) else asked


def _may_hold(world: World, conditions: Sequence[api.Condition], moment: Moment) -> bool:
    return any(all(_holds(world, each, now_us) for each in conditions) for now_us in _instants(world, moment))


def _may_fail(world: World, conditions: Sequence[api.Condition], moment: Moment) -> bool:
    return any(not all(_holds(world, each, now_us) for each in conditions) for now_us in _instants(world, moment))


def _instants(world: World, moment: Moment) -> Iterable[int]:
    """Times of the call's moment at which what exists differs."""
    expiries = {version.expires_us for version in world.items.values()}
    return [moment.least_us, *(each for each in expiries if moment.least_us < each <= moment.most_us)]


def _holds(world: World, condition: api.Condition, now_us: int) -> bool:
    if condition.key is not None:
        held = world.items.get(condition.key, ORIGIN)
        return condition.token == _token(held) if is_live(held, now_us) else condition.absent
    if condition.absent:
        return not any(is_live(version, now_us) for version in world.items.values())
    return world.newest is not ORIGIN and condition.token == _token(world.newest)


def _token(version: Version) -> IdempotencyToken:
    return NOBODY if version is ORIGIN else token_at(version.time_us, version.token)


def _shown(world: World, conditions: Sequence[api.Condition]) -> str:
    held = {each.key: world.items.get(each.key) for each in conditions if each.key is not None}
    return f"{held} under {world.newest}"
