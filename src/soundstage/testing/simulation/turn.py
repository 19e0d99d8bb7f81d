"""The turn of the step that is being played: its dice, and the situations that it gets into.

Every step has dice of its own, seeded by its number, and whatever happens on its behalf throws these: so the other
steps meet the same faults when one is left out, which is what lets a run be made small. Tasks that a step starts
belong to its turn.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from random import Random


class Turn:
    """One step's turn. Writes sent while `hold_s` is set reach their engine so many seconds late.

    What is sent while `direct` is set takes no time at all, unless it meets a fault.
    """

    __slots__ = ("dice", "direct", "hold_s", "situations")

    def __init__(self, dice: Random) -> None:
        self.dice: Random = dice
        self.direct: bool = False
        self.hold_s: float = 0.0
        self.situations: set[str] = set()


_TURN: ContextVar[Turn | None] = ContextVar("turn", default=None)


def present() -> Turn | None:
    """The turn that the running task belongs to; None while a run is set up and when it is judged at its end."""
    return _TURN.get()


def dice() -> Random:
    """The dice of the present turn; `LookupError` outside of one."""
    found = _TURN.get()
    if found is None:
        raise LookupError("dice are thrown in a turn")
    return found.dice


def is_direct() -> bool:
    """Whether what is done now takes no time."""
    found = _TURN.get()
    return found is not None and found.direct


def strikes(rate: float) -> bool:
    """Whether something of probability `rate` happens now. Outside of a turn nothing ever does."""
    if not rate:
        return False
    found = _TURN.get()
    return found is not None and found.dice.random() < rate


@contextmanager
def taking(turn: Turn) -> Generator[None]:
    """Within, `turn` is the present one."""
    token = _TURN.set(turn)
    try:
        yield
    finally:
        _TURN.reset(token)


@contextmanager
def aside() -> Generator[None]:
    """What happens within belongs to no turn: nothing strikes it."""
    token = _TURN.set(None)
    try:
        yield
    finally:
        _TURN.reset(token)


@contextmanager
def directly() -> Generator[None]:
    """What is sent within arrives, and is answered, at the very instant of sending, unless it meets a fault."""
    found = _TURN.get()
    if found is None:
        raise LookupError("calls travel in a turn")
    found.direct = True
    try:
        yield
    finally:
        found.direct = False


@contextmanager
def holding(seconds: float) -> Generator[None]:
    """Writes sent within reach their engine `seconds` late, having passed the door in time."""
    found = _TURN.get()
    if found is None:
        raise LookupError("calls are held up in a turn")
    found.hold_s = seconds
    try:
        yield
    finally:
        found.hold_s = 0.0
