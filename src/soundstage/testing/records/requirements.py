"""Tests that need more of an engine than the port: absent, not skipped, where the engine has it not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from soundstage.engines.records.port import Capability

Test = TypeVar("Test", bound=Callable[..., Any])

_NEEDS = "needs_capabilities"


def requires(*capabilities: Capability) -> Callable[[Test], Test]:
    """The test belongs to engines with all of `capabilities`."""

    def mark(test: Test) -> Test:
        setattr(test, _NEEDS, frozenset(capabilities))
        return test

    return mark


def select(suite: type, capabilities: frozenset[Capability]) -> None:
    """`suite` has only the tests that an engine with `capabilities` is held to."""
    for name in dir(suite):
        needs: frozenset[Capability] = getattr(getattr(suite, name), _NEEDS, frozenset())
        if not needs <= capabilities:
            # pytest collects what can be called.
            setattr(suite, name, None)
