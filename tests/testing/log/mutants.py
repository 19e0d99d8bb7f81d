"""Many mutants of one engine under the suite, in a single run of pytest: its tests are collected once for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import is_hypothesis_test
from tests.testing.examination import Examination
from tests.testing.log.mistakes import LOG
from tests.testing.records.mutants import Mutant, load

SUBJECT = Path(__file__).with_name("subject.py")

SHARED = (f"{LOG}.port", f"{LOG}.refusals")
"""Modules whose types cross between engine and suite; they are never loaded twice."""


def is_engine(name: str) -> bool:
    """Whether a module is imported anew for each mutant."""
    return name.startswith(f"{LOG}.") and name not in SHARED


class Examined(Examination):
    """For each of `mutants` of the module `engine`, the first test of its part that fails: `seen`, by its name."""

    def __init__(self, engine: str, mutants: Sequence[Mutant]) -> None:
        super().__init__()
        self.seen: dict[str, list[str]] = {}
        self._engine = engine
        self._mutants = mutants
        self._module: ModuleType | None = None
        self.run(SUBJECT)

    @pytest.fixture
    def engine_module(self) -> ModuleType | None:
        return self._module

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        # Properties would be shrunk for minutes.
        tests = [item for item in session.items if isinstance(item, pytest.Function)]
        tests = [item for item in tests if not is_hypothesis_test(item.function)]
        for mutant in self._mutants:
            self._module = load(self._engine, mutant.changes, is_engine)
            part = [item for item in tests if item.function.__module__.rpartition(".")[2] == mutant.part]
            assert part, f"{mutant.part} is no part of the suite"
            self.seen[mutant.name] = self._first_failure(part)
        return True

    def _first_failure(self, tests: Sequence[pytest.Function]) -> list[str]:
        before = len(self.failed)
        for item in tests:
            # An item that has run keeps the fixtures it had.
            item._initrequest()  # pyright: ignore[reportPrivateUsage]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if len(self.failed) > before:
                break
        return self.failed[before:]
