"""The steps of a key-value run, all drawn from the seed before the run begins.

Each step holds every choice it will make, so that a run can be repeated without some of its steps: that is
how a divergence is made small.
"""

from __future__ import annotations

from random import Random
from typing import Literal, TypeAlias, TypeVar

import msgspec

Act: TypeAlias = Literal[
    "put",
    "delete_all",
    "delete_range",
    "delete_keys",
    "get",
    "get_keys",
    "read_all",
    "count",
    "scan",
    "batch_get",
    "sweep",
    "skew",
    "rates",
    "restart",
]
T = TypeVar("T")
TokenFrom: TypeAlias = Literal["client", "past", "equal_time", "reused", "resent"]
ConditionFrom: TypeAlias = Literal["item_absent", "item_token", "record_absent", "record_token", "wrong_token"]

RECORDS = tuple(f"record-{number}" for number in range(5))
KEYS = tuple(bytes([97 + number // 3, 97 + number % 3]) for number in range(9))
LONG_PAUSE_S = 700.0

_ACTS: dict[Act, int] = {
    "put": 36,
    "delete_all": 4,
    "delete_range": 8,
    "delete_keys": 6,
    "get": 10,
    "get_keys": 10,
    "read_all": 8,
    "count": 4,
    "scan": 2,
    "batch_get": 3,
    "sweep": 4,
    "skew": 1,
    "rates": 2,
    "restart": 1,
}
_TOKENS: dict[TokenFrom, int] = {"client": 52, "past": 20, "equal_time": 14, "reused": 8, "resent": 6}
_PAUSES: dict[float, int] = {0.0: 60, 0.000_001: 8, 0.01: 20, 1.0: 9, LONG_PAUSE_S: 3}
_TTLS: dict[int | None, int] = {None: 60, 1_000: 8, 20_000: 10, 1_000_000: 12, 5_000_000: 10}


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that one of the clients does after `pause_s`; what a field means depends on `act`."""

    number: int
    client: int
    act: Act
    record: str
    pause_s: float = 0.0
    keys: tuple[bytes, ...] = ()
    ttl_us: int | None = None
    token: TokenFrom = "client"
    age_us: int = 0
    condition: ConditionFrom | None = None
    start: bytes = b""
    end: bytes | None = None
    reverse: bool = False
    page_bytes: int = 4_096
    at_expiry: bool = False
    amount: float = 0.0


def generate(seed: int, count: int, clients: int) -> list[Step]:
    """The first `count` steps of `seed`; the same for every `count` above theirs."""
    random = Random(f"steps {seed}")
    return [_step(number, random, clients) for number in range(count)]


def _step(number: int, random: Random, clients: int) -> Step:
    act = _chosen(random, _ACTS)
    low, high = sorted((random.choice(KEYS), random.choice(KEYS)))
    return Step(
        number=number,
        client=random.randrange(clients),
        act=act,
        record=random.choice(RECORDS),
        pause_s=_chosen(random, _PAUSES),
        keys=tuple(random.sample(KEYS, random.choice((1, 1, 1, 2, 3, 5)))),
        ttl_us=_chosen(random, _TTLS),
        token=_chosen(random, _TOKENS),
        age_us=random.choice((1, 1_000, 1_000_000, 60_000_000, 590_000_000)),
        condition=random.choice(_CONDITIONS) if random.random() < 0.15 else None,
        start=random.choice((b"", low)),
        end=random.choice((None, high + b"\x00")),
        reverse=random.random() < 0.4,
        page_bytes=random.choice((1, 60, 200, 4_096)),
        at_expiry=random.random() < 0.15,
        amount=random.uniform(-1.0, 1.0),
    )


_CONDITIONS: tuple[ConditionFrom, ...] = (
    "item_absent",
    "item_token",
    "record_absent",
    "record_token",
    "wrong_token",
)


def _chosen(random: Random, weights: dict[T, int]) -> T:
    return random.choices(list(weights), weights=list(weights.values()))[0]
