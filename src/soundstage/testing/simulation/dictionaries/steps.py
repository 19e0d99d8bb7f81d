"""The steps of a run about dictionaries, and the values that it writes."""

from __future__ import annotations

from random import Random
from typing import Literal, TypeAlias, get_args

from soundstage.testing.simulation.scenario import Step

Act: TypeAlias = Literal["put", "delete", "look", "greet", "train", "retire", "drop", "bring"]
_WEIGHTS = (42, 7, 20, 14, 4, 3, 10, 5)

Codec: TypeAlias = Literal["none", "zstd", "lz4", "dictionary"]
_CODECS = (1, 2, 1, 6)

RECORDS = ("ada", "bob", "eve", "sue")
KEYS = (b"a", b"b", b"c")
SAMPLES = 80
"""Values that are there from the start, in a record of their own, for dictionaries to be made of."""

_PAUSES_S: dict[float, int] = {0.0: 30, 0.01: 30, 0.3: 30, 20.0: 4, 700.0: 2, 2_000.0: 3, 6_000.0: 3}
_SPANS_S = (0.1, 4.0, 30.0, 700.0, 4_000.0, 9_000.0)
_BRIEF_S = 700.0
"""Who writes is paused for no longer: its writes are in flight."""

_CALLS_MAX = {"train": 280, "drop": 9, "bring": 20}
"""So many calls, about, each job makes of an engine."""


class DictionaryStep(Step, frozen=True, kw_only=True, tag="dictionaries"):
    """One call of `record` and `keys`, or one job.

    `choice` is which of the dictionaries that the client ever heard of it writes with. A job's process is killed, or
    paused for so long, at its `stumbles_at`-th call of the engine, before it is made or `after` it; at 0 never. A file
    that is brought `is_carried` with its dictionary or without, which `is_foreign` or one that the client heard of.
    """

    act: Act
    record: str = ""
    keys: tuple[bytes, ...] = ()
    codec: Codec = "none"
    is_large: bool = False
    choice: int = 0
    size: int = 0
    stumbles_at: int = 0
    after: bool = False
    paused_s: float | None = None
    is_foreign: bool = False
    is_carried: bool = True


def draw(random: Random, number: int, client: int) -> DictionaryStep:
    """The step of that number."""
    act = random.choices(get_args(Act), _WEIGHTS)[0]
    keys = tuple(sorted(random.sample(KEYS, random.choice((1, 1, 2)))))
    stumbles = act in _CALLS_MAX and random.random() < 0.5
    return DictionaryStep(
        number=number,
        client=client,
        pause_s=random.choices(list(_PAUSES_S), list(_PAUSES_S.values()))[0],
        act=act,
        record=random.choice(RECORDS),
        keys=() if act == "delete" and random.random() < 0.6 else keys,
        codec=random.choices(get_args(Codec), _CODECS)[0],
        is_large=random.random() < 0.1,
        choice=random.choice((0, 0, 0, 0, 0, 0, 1, 2, 3)),
        size=random.choice((1_024, 1_536, 2_048)),
        stumbles_at=random.randint(1, _CALLS_MAX[act]) if stumbles else 0,
        after=random.random() < 0.5,
        paused_s=random.choice((None, None, *(span for span in _SPANS_S if act != "bring" or span <= _BRIEF_S))),
        is_foreign=random.random() < 0.4,
        is_carried=random.random() < 0.8,
    )


def value_of(name: str, is_large: bool) -> bytes:
    """The value that the write of that name puts: like all others, or too large for a row whatever undoes it."""
    chance = Random(name)
    if is_large:
        return chance.randbytes(3_000).hex().encode()
    return (
        b'{"member": "%08x", "device": "living-room-television", "language": "%d", "paused": false, "position_ms": %d}'
        % (chance.getrandbits(32), chance.randrange(9), chance.randrange(7_200_000))
    )
