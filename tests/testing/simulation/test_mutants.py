"""The simulation is known to notice what it is there to notice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.testing.simulation.mutants import MUTANTS, Edit
from tests.testing.simulation.mutation import StaleMutant, edited

ROOT = Path(__file__).resolve().parents[3]
SEEDS = 3
"""A mutant has as many chances; most need one."""


def simulate(name: str, seed: int, steps: int) -> subprocess.CompletedProcess[str]:
    """A simulation of the product with that mutant in it."""
    options = ["--seed", str(seed), "--steps", str(steps), "--shrink", "0"]
    return subprocess.run(
        [sys.executable, "-m", "tests.testing.simulation.mutation", name, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_mutant_does_not_survive(name: str) -> None:
    mutant = MUTANTS[name]
    for seed in range(mutant.seed, mutant.seed + SEEDS):
        ended = simulate(name, seed, mutant.steps)
        assert ended.returncode in (0, 1), ended.stderr
        if ended.returncode == 1:
            assert re.search(r"^diverged in", ended.stdout, re.MULTILINE), ended.stdout + ended.stderr
            return
    pytest.fail(f"{name} was not noticed in {SEEDS} runs of {mutant.steps} steps")


def test_there_are_mutants_of_the_rule_of_both_engines_and_of_the_systems() -> None:
    modules = {edit.module for mutant in MUTANTS.values() for edit in mutant.edits}
    parts = ("core.version", "core.hlc", "core.policy", "records.memory", "records.rocksdb", "rocks.commit", "data.kv")
    parts += (
        "runtime.control",
        "runtime.credentials",
        "runtime.leases",
        "runtime.schedule",
        "runtime.work",
        "data.writeahead",
        "data.timeseries",
        "data.kv.closed_heads",
        "data.kv.cached_reads",
        "data.kv.dictionaries",
        "blobs.file",
    )
    for part in parts:
        assert any(part in module for module in modules), part
    assert {mutant.engine for mutant in MUTANTS.values()} == {"memory", "rocksdb"}
    assert len(MUTANTS) >= 20


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_mutant_still_fits_the_module_it_changes(name: str) -> None:
    for module in {edit.module for edit in MUTANTS[name].edits}:
        path = ROOT / "src" / (module.replace(".", "/") + ".py")
        own = [edit for edit in MUTANTS[name].edits if edit.module == module]
        source = path.read_text()
        assert compile(edited(source, own), str(path), "exec")
        assert edited(source, own) != source


def test_no_mutant_names_what_its_module_does_not_have(tmp_path: Path) -> None:
    # It would be noticed for that, whatever the simulation looks at.
    for name, mutant in MUTANTS.items():
        for module in {edit.module for edit in mutant.edits}:
            source = (ROOT / "src" / (module.replace(".", "/") + ".py")).read_text()
            own = [edit for edit in mutant.edits if edit.module == module]
            (tmp_path / f"{name}-{module}.py").write_text(edited(source, own))
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F821", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("source", ["nothing of the kind", "right and right"])
def test_a_mutant_that_fits_no_more_is_refused(source: str) -> None:
    with pytest.raises(StaleMutant, match="bring it up to date"):
        edited(source, [Edit("module", "right", "wrong")])


def test_the_right_text_gives_way_to_the_wrong_one() -> None:
    assert edited("what is right", [Edit("module", "right", "wrong")]) == "what is wrong"
