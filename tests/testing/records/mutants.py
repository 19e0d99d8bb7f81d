"""Engines with one mistake each, made by changing their source, and whether the suite sees it.

A mutant is loaded beside the real engine: its modules are imported anew with the changed text, and what was
imported before is put back. It then goes through one part of the suite, in a run of pytest of its own.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from inspect import isfunction
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple, TypeAlias

import pytest
from hypothesis import Phase, given, is_hypothesis_test, settings
from tests.testing.examination import Examination

from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError
from soundstage.engines.records.port import Records
from soundstage.engines.rocks.options import Durability
from soundstage.testing.records import Bench
from soundstage.testing.records.examples import EXAMPLES
from soundstage.testing.records.histories import Step, histories
from soundstage.testing.records.suite.histories import play

SUBJECT = Path(__file__).with_name("subject.py")

MEMORY = "soundstage.engines.records.memory"
ROCKSDB = "soundstage.engines.records.rocksdb"
RECORDS = "soundstage.engines.records"
VERSION = "soundstage.core.version"

SHARED = (f"{RECORDS}.port", f"{RECORDS}.refusals")
"""Modules whose types cross between engine and suite; they are never loaded twice."""

IsEngine: TypeAlias = Callable[[str], bool]
"""Whether a module is imported anew for a mutant: those of the engine, and not those whose types cross."""


class Change(NamedTuple):
    """In the source of `module`, `right` stands exactly once and becomes `wrong`."""

    module: str
    right: str
    wrong: str


class Mutant(NamedTuple):
    """An engine that makes the mistake `name`, which the suite's module `part` is to see."""

    name: str
    part: str
    changes: Sequence[Change]
    durability: Durability = "os"


class _ChangedLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, changes: Sequence[Change]) -> None:
        super().__init__(name, path)
        self._changes = changes

    def get_code(self, fullname: str) -> CodeType:
        text = Path(self.path).read_text()
        for change in self._changes:
            count = text.count(change.right)
            if count != 1:
                raise ValueError(f"{fullname} has {change.right!r} {count} times, a mutant needs it once")
            text = text.replace(change.right, change.wrong)
        return compile(text, self.path, "exec")


class _Changer(MetaPathFinder):
    def __init__(self, changes: Sequence[Change]) -> None:
        self._by_module: dict[str, list[Change]] = {}
        for change in changes:
            self._by_module.setdefault(change.module, []).append(change)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        changes = self._by_module.get(fullname)
        if changes is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _ChangedLoader(fullname, spec.origin, changes)
        return spec


@contextmanager
def _forgotten(names: Sequence[str], is_engine: IsEngine) -> Generator[None]:
    """Within, the modules `names` are as if never imported; afterwards they are back."""
    kept: Mapping[str, ModuleType] = {name: sys.modules.pop(name) for name in names}
    for name in names:
        parent, _, child = name.rpartition(".")
        sys.modules[parent].__dict__.pop(child, None) if parent in sys.modules else None
    try:
        yield
    finally:
        for name in [name for name in sys.modules if is_engine(name)]:
            del sys.modules[name]
        sys.modules.update(kept)
        for name, module in kept.items():
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, module)


def _is_engine(name: str) -> bool:
    return name == VERSION or (name.startswith(f"{RECORDS}.") and name not in SHARED)


def load(engine: str, changes: Sequence[Change], is_engine: IsEngine = _is_engine) -> ModuleType:
    """The module `engine`, imported anew with everything that it stands on, `changes` made."""
    importlib.import_module(engine)
    finder = _Changer(changes)
    with _forgotten([name for name in sys.modules if is_engine(name)], is_engine):
        sys.meta_path.insert(0, finder)
        try:
            return importlib.import_module(engine)
        finally:
            sys.meta_path.remove(finder)


class _Part(Examination):
    """One part of the suite, over the engine of a module."""

    def __init__(self, module: ModuleType, part: str, durability: Durability) -> None:
        super().__init__()
        self._module = module
        self._part = part
        self._durability: Durability = durability

    @pytest.fixture
    def engine_module(self) -> ModuleType:
        return self._module

    @pytest.fixture
    def durability(self) -> Durability:
        return self._durability

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, name: str, obj: object) -> list[pytest.Item] | None:
        """Nothing is made of tests that are not asked, which takes longer than those that are."""
        return [] if name.startswith("test") and not self._asks(obj) else None

    def _asks(self, test: object) -> bool:
        # Properties would be shrunk for minutes; they are asked by `differs`.
        return isfunction(test) and test.__module__.rpartition(".")[2] == self._part and not is_hypothesis_test(test)


def failures(engine: str, part: str, changes: Sequence[Change], durability: Durability = "os") -> list[str]:
    """The first test of `part` that fails on the changed engine; empty when all pass."""
    examination = _Part(load(engine, changes), part, durability)
    examination.run(SUBJECT, "-x")
    return examination.failed


def differs(changes: Sequence[Change], *, conditional: bool) -> bool:
    """Whether a random history tells the changed memory engine from the model."""
    module = load(MEMORY, changes)

    async def open_engine(environment: Environment, store: str = "store") -> Records:
        engine: Records = module.MemoryRecords(environment)
        await engine.start()
        return engine

    async def run(steps: list[Step]) -> None:
        bench = Bench(open_engine, conditional=conditional)
        await bench.open()
        await play(bench, steps)

    @settings(EXAMPLES, max_examples=1_000, phases=[Phase.generate])
    @given(histories(conditional=conditional))
    def compare(steps: list[Step]) -> None:
        asyncio.run(run(steps))

    try:
        compare()
    except (AssertionError, SoundstageError):
        return True
    return False
