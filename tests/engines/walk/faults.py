"""A driver that fails as it is told to, and what is held of everything that callers then see."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, NamedTuple

from soundstage.core.errors import ERRORS, SoundstageError


class Told(NamedTuple):
    """What a caller is told: the code of an error of the tree, and whether to call again."""

    code: str
    retryable: bool


class Fault:
    """`error` is raised wherever the driver is asked something, while there is one; `met` counts."""

    def __init__(self) -> None:
        self.error: Any = None
        self.met: int = 0

    def strike(self) -> None:
        """Raises the error, if there is one."""
        if self.error is not None:
            self.met += 1
            raise self.error


class Struck:
    """What the driver `made`, which fails with `fault` at any of its calls; `spared` are those that only tell."""

    def __init__(self, made: Any, fault: Fault, spared: frozenset[str] = frozenset()) -> None:
        self.made = made
        self.fault = fault
        self.spared = spared

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.made, name)
        if not callable(found) or name in self.spared:
            return found

        def struck(*values: Any, **named: Any) -> Any:
            self.fault.strike()
            return found(*values, **named)

        return struck


async def refusal(calling: Awaitable[Any]) -> SoundstageError | None:
    """The error that a call ended with, None for one that ended well. No other exception may come out of it."""
    try:
        await calling
    except SoundstageError as error:
        held(error)
        return error
    except Exception as error:
        raise AssertionError(f"{type(error).__module__}.{type(error).__qualname__} passed the port") from error
    return None


def held(error: SoundstageError) -> None:
    """The error is one of the tree that a caller can do something with."""
    assert type(error) is not SoundstageError
    assert error.code in ERRORS
    assert error.detail
    # What a damaged disk, a defect or a wrong request answers is answered again.
    assert not (error.retryable and error.code in ("internal", "data_loss", "invalid_argument", "unauthenticated"))
    assert error.outcome in (None, "unknown", "not_applied")


def told(error: SoundstageError) -> Told:
    """What a caller is told by it."""
    held(error)
    return Told(error.code, error.retryable)
