"""Tests that need more of an engine than its port: absent, not skipped, where the engine has it not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])

_NEEDS = "needs_capabilities"


def requires(*capabilities: StrEnum) -> Callable[[Test], Test]:
    """The test belongs to engines with all of `capabilities`."""

    def mark(test: Test) -> Test:
        setattr(test, _NEEDS, frozenset(capabilities))
        return test

    return mark


def select(suite: type, capabilities: frozenset[StrEnum]) -> None:
    """`suite` has only the tests that an engine with `capabilities` is held to."""
    for name in dir(suite):
        needs: frozenset[StrEnum] = getattr(getattr(suite, name), _NEEDS, frozenset())
        if not needs <= capabilities:
            # pytest collects what can be called.
            setattr(suite, name, None)


def leave_out(suite: type, fixture: str) -> None:
    """`suite` has none of the tests that ask for `fixture`."""
    for name in dir(suite):
        test = getattr(suite, name)
        if name.startswith("test_") and callable(test) and fixture in inspect.signature(test).parameters:
            setattr(suite, name, None)
