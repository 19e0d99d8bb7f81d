"""Tests that need more of an engine than the port: absent, not skipped, where the engine has it not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from soundstage.engines.records.port import Capability

Test = TypeVar("Test", bound=Callable[..., Any])

_NEEDS = "needs_capabilities"


def requires(*capabilities: Capability) -> Callable[[Test], Test]:
    """The test belongs to engines with all of `capabilities`."""

    def mark(test: Test) -> Test:
        setattr(test, _NEEDS, frozenset(capabilities))
        return test

    return mark


class Selective:
    """A suite whose tests are chosen, when it is subclassed, by the `capabilities` that the subclass names."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "capabilities" not in cls.__dict__:
            return
        for name in dir(cls):
            needs: frozenset[Capability] = getattr(getattr(cls, name), _NEEDS, frozenset())
            if not needs <= cls.capabilities:
                # pytest collects what can be called.
                setattr(cls, name, None)
