"""The steps of clients of a time series store. Whatever a step will choose is in it."""

from __future__ import annotations

from random import Random
from typing import Literal, TypeAlias, get_args

from soundstage.testing.simulation.scenario import Step

Act: TypeAlias = Literal[
    "write",
    "repeat",
    "late",
    "read",
    "walk",
    "tend",
    "double",
    "keep",
    "lay_out",
    "age",
    "queue",
    "index",
    "search",
    "rebuild",
    "wipe",
]

_WEIGHTS = (34, 12, 6, 16, 12, 8, 2, 4, 4, 2, 8, 24, 6, 1, 1)

SERIES = ("ada", "bob", "cyd")
EVENT_IDS = ("a", "b", "c")
KEYS = ("k", "l", "m")


class Draft(Step, frozen=True, kw_only=True, tag="draft"):
    """An event to be: `near` says by which edge it lies, `off_s` how far from it."""

    series: int
    near: int
    off_ns: int
    event_id: int
    keys: tuple[int, ...]
    rank: int


class SeriesStep(Step, frozen=True, kw_only=True, tag="timeseries"):
    """One act. `choice` picks what the act chooses among; `ahead` puts an event into a write that is to be refused."""

    act: Act
    drafts: tuple[Draft, ...] = ()
    series: int = 0
    choice: int = 0
    page_size: int = 1_000
    narrow: bool = False
    limited: bool = False
    filtered: bool = False
    partial: bool = False
    ahead: bool = False
    pause_between_s: float = 0.0


def draw(random: Random, number: int, client: int) -> SeriesStep:
    """The step of that number."""
    return SeriesStep(
        number=number,
        client=client,
        pause_s=random.choice((0.0, 0.001, 0.05, 2.0, 20.0)),
        act=random.choices(get_args(Act), _WEIGHTS)[0],
        drafts=tuple(_draft(random, number, client) for _ in range(random.choice((1, 1, 2, 3, 8)))),
        series=random.randrange(len(SERIES)),
        choice=random.randrange(1_000_000),
        page_size=random.choice((1, 2, 5, 1_000)),
        narrow=random.random() < 0.4,
        limited=random.random() < 0.2,
        filtered=random.random() < 0.2,
        partial=random.random() < 0.3,
        ahead=random.random() < 0.05,
        pause_between_s=random.choice((0.0, 0.0, 0.01, 1.0)),
    )


def _draft(random: Random, number: int, client: int) -> Draft:
    return Draft(
        number=number,
        client=client,
        series=random.randrange(len(SERIES)),
        near=random.randrange(5),
        off_ns=random.choice((0, -1, 1, -random.randrange(10**9), -random.randrange(2_000 * 10**9))),
        event_id=random.randrange(len(EVENT_IDS)),
        keys=tuple(sorted(random.sample(range(len(KEYS)), random.randint(1, 3)))),
        rank=random.randrange(4),
    )
