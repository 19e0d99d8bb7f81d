"""`soundstage bench`: the benchmarks that a source checkout has beside the package."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

import soundstage
from soundstage.core.names import nearest
from soundstage.surface.cli.failure import DONE, FAILED, usage
from soundstage.surface.cli.options import Output
from soundstage.surface.cli.output import chosen_format, show


class Benchmark(msgspec.Struct, frozen=True):
    """One benchmark: its module below `benchmarks`, and the question it answers."""

    name: str
    question: str


class BenchmarkList(msgspec.Struct, frozen=True):
    benchmarks: list[Benchmark]


def bench(
    name: Annotated[str | None, Parameter(name="NAME", help="Which to run; none: list them.")] = None,
    /,
    *,
    quick: Annotated[bool, Parameter(help="End within a minute.", show_default=False)] = False,
    output: Output = None,
) -> int:
    """Run a benchmark beside its rival, or list all. Only from a source checkout.

    Prints a table and, last, a JSON line per figure; a ratio over 1 means that ours is better.
    """
    root = checkout()
    found = benchmarks(root / "benchmarks")
    if name is None:
        show(BenchmarkList(found), chosen_format(output))
        return DONE
    if name not in {each.name for each in found}:
        close = nearest(name, [each.name for each in found])
        raise usage(
            f"there is no benchmark {name!r}", hint=f"did you mean {close!r}?" if close else "see soundstage bench"
        )
    command = [sys.executable, "-m", f"benchmarks.{name}", *(("--quick",) if quick else ())]
    return DONE if subprocess.run(command, cwd=root, check=False).returncode == 0 else FAILED


def checkout() -> Path:
    """The source checkout that this package is installed from, or that the working folder is."""
    for root in (Path(soundstage.__file__).parents[2], Path.cwd()):
        if (root / "benchmarks" / "__init__.py").is_file() and (root / "pyproject.toml").is_file():
            return root
    raise usage("benchmarks are part of a source checkout, and this is none", hint=f"clone one; here is {os.getcwd()}")


def benchmarks(folder: Path) -> list[Benchmark]:
    """The modules of `folder` that can be run, by name."""
    found: list[Benchmark] = []
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body):
            found.append(Benchmark(path.stem, (ast.get_docstring(tree) or "").partition("\n")[0]))
    return found
