"""The steps of a key-value run."""

from __future__ import annotations

from random import Random
from typing import Literal, TypeAlias, TypeVar

from soundstage.testing.simulation.scenario import Step

Act: TypeAlias = Literal[
    "put",
    "delete",
    "put_if",
    "delete_if",
    "equal_time",
    "reuse_token",
    "late",
    "straggle",
    "glimpse",
    "repeat",
    "repeat_if_overwritten",
    "repeat_if_late",
    "at_expiry",
    "get",
    "walk",
    "count",
    "scan",
    "batch_get",
    "age",
]
"""What a step does. `Performer` has a method of that name for each."""

Shape: TypeAlias = Literal["put", "marker", "range", "record"]
"""What a write is made of: puts, item markers, a range tombstone or the record's tombstone."""

DELETES: tuple[Shape, ...] = ("marker", "range", "record")

Aim: TypeAlias = Literal["item_absent", "item_token", "record_absent", "record_token", "wrong_token", "both"]
"""What a condition is about, and whether its author knows the present state."""

RECORDS = ("alpha", "b", "ré\0cord", "b\0")
KEYS = (b"", b"a", b"a\0", b"a\0\xff", b"b", b"bb", b"c", b"d\0", b"\xff\xff")
BOUNDS = (*KEYS, b"a\0\0", b"b\0", b"bbb", b"e", b"\xff\xff\0")

T = TypeVar("T")

_ACTS: dict[Act, int] = {
    "put": 225,
    "delete": 110,
    "put_if": 60,
    "delete_if": 20,
    "equal_time": 50,
    "reuse_token": 40,
    "late": 85,
    "straggle": 6,
    "glimpse": 8,
    "repeat": 20,
    "repeat_if_overwritten": 30,
    "repeat_if_late": 6,
    "at_expiry": 40,
    "get": 120,
    "walk": 75,
    "count": 35,
    "scan": 22,
    "batch_get": 25,
    "age": 4,
}
_PAUSES_S: dict[float, int] = {0.0: 66, 0.000_001: 12, 0.000_5: 16, 0.01: 6}
_TTLS_US: dict[int | None, int] = {None: 70, 1_000: 6, 20_000: 8, 1_000_000: 10, 5_000_000: 6}
_PAGE_BYTES: dict[int | None, int] = {None: 20, 1: 20, 60: 20, 200: 20, 4_096: 20}
_VALUE_BYTES: dict[int, int] = {0: 22, 1: 22, 10: 22, 100: 22, 1_025: 6, 40_000: 6}
"""The last two lie in chunks, one and several."""

_AGES_US = (0, 1, 1_000, 1_000_000, 60_000_000, 590_000_000)


class KeyValueStep(Step, frozen=True, kw_only=True, tag="kv"):
    """One act of one client. What a field means depends on `act`; a field that the act has no use for is drawn too."""

    act: Act
    record: str
    keys: tuple[bytes, ...] = ()
    shape: Shape = "put"
    aim: Aim = "item_absent"
    start: bytes | None = None
    start_inclusive: bool = True
    end: bytes | None = None
    end_inclusive: bool = False
    ttl_us: int | None = None
    age_us: int = 0
    value_bytes: int = 0
    page_bytes: int | None = None
    item_limit: int | None = None
    include_values: bool = True
    reverse: bool = False
    segments: int = 1
    choice: int = 0
    deadline_s: float | None = None
    gives_up: bool = False
    streamed: bool = False


def draw(random: Random, number: int, client: int) -> KeyValueStep:
    """The step of that number."""
    start, end = _bounds(random)
    return KeyValueStep(
        number=number,
        client=client,
        pause_s=_chosen(random, _PAUSES_S),
        act=_chosen(random, _ACTS),
        record=random.choice(RECORDS),
        keys=tuple(random.sample(KEYS, random.choice((1, 1, 1, 2, 3, 5)))),
        shape=random.choice(DELETES),
        aim=random.choice(("item_absent", "item_token", "record_absent", "record_token", "wrong_token", "both")),
        start=start,
        start_inclusive=random.random() < 0.7,
        end=end,
        end_inclusive=random.random() < 0.3,
        ttl_us=_chosen(random, _TTLS_US),
        age_us=random.choice(_AGES_US),
        value_bytes=_chosen(random, _VALUE_BYTES),
        page_bytes=_chosen(random, _PAGE_BYTES),
        item_limit=random.choice((None, None, None, 1, 2, 5)),
        include_values=random.random() < 0.85,
        reverse=random.random() < 0.4,
        segments=random.choice((1, 1, 2, 3)),
        choice=random.randrange(1_000_000),
        deadline_s=random.choice((0.002, 0.05)) if random.random() < 0.08 else None,
        gives_up=random.random() < 0.3,
        streamed=random.random() < 0.3,
    )


def _bounds(random: Random) -> tuple[bytes | None, bytes | None]:
    low, high = sorted(random.sample(BOUNDS, 2))
    return random.choice((None, low, low)), random.choice((None, high, high))


def _chosen(random: Random, weights: dict[T, int]) -> T:
    return random.choices(list(weights), list(weights.values()))[0]
