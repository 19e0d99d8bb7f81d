"""Runs a simulation of the product with one thing in it made wrong, which the simulation must notice.

    python -m tests.testing.simulation.mutation NAME [arguments of soundstage.testing.simulate]

The wrong text is put in place of the right one when the module is imported; no file is changed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from tests.testing.simulation.mutants import MUTANTS, Edit


class StaleMutant(Exception):
    """The text that a mutant replaces is not in the module, or is there more than once."""


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(name, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType | None:
        """Compiled anew, past the cache of compiled modules."""
        path = self.get_filename(fullname)
        return self.source_to_code(edited(self.get_data(path).decode(), self._edits), path)


class _Finder(MetaPathFinder):
    """Finds the modules that are edited before anybody else does. `left` are those not imported yet."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self.left = {edit.module for edit in edits}
        self._edits = edits

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.left:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None:
            return None
        self.left.discard(fullname)
        own = [edit for edit in self._edits if edit.module == fullname]
        spec.loader = _Loader(fullname, spec.origin, own)
        return spec


def edited(source: str, edits: Sequence[Edit]) -> str:
    """`source` with each edit's wrong text in place of its right one."""
    for edit in edits:
        if source.count(edit.right) != 1:
            raise StaleMutant(f"{edit.module} has {edit.right!r} {source.count(edit.right)} times; bring it up to date")
        source = source.replace(edit.right, edit.wrong)
    return source


def main(arguments: Sequence[str]) -> int:
    """The exit status of the simulation; 3 when the mutant was never met."""
    name, *rest = arguments
    mutant = MUTANTS[name]
    finder = _Finder(mutant.edits)
    sys.meta_path.insert(0, finder)
    simulate: Any = __import__("soundstage.testing.simulate", fromlist=["main"])
    status = simulate.main([mutant.system, "--engine", mutant.engine, *rest])
    if finder.left:
        print(f"never imported: {sorted(finder.left)}", file=sys.stderr)
        return 3
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
