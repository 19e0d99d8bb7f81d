from __future__ import annotations

import os
import subprocess
import sys

import pytest

from soundstage.testing.simulate import main

LYING = "tests.testing.simulation.register:LYING"
HONEST = "tests.testing.simulation.register:HONEST"


def test_a_run_prints_its_seed_what_it_went_through_and_that_nothing_diverged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["kv", "--seed", "7", "--steps", "150"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "simulating kv on memory: --seed 7 --steps 150"
    assert lines[1].startswith("150 steps in ")
    assert any(line.startswith("situation equal_us: ") and "of at least 1.0%" in line for line in lines)
    assert lines[-2].startswith("trace ")
    assert lines[-1] == "0 divergences"


def test_the_same_command_prints_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    printed: list[str] = []
    for _ in range(2):
        main(["kv", "--seed", "9", "--steps", "100"])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def trace_of(hash_seed: str, engine: str) -> str:
    options = ["--seed", "3", "--steps", "200", "--engine", engine]
    ended = subprocess.run(
        [sys.executable, "-m", "soundstage.testing.simulate", "kv", *options],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return next(line for line in ended.stdout.splitlines() if line.startswith("trace"))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["memory", "rocksdb"])
def test_processes_that_hash_differently_tell_the_same_history(engine: str) -> None:
    assert trace_of("1", engine) == trace_of("2", engine)


def test_a_seed_is_drawn_and_printed_where_none_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    seeds: set[str] = set()
    for _ in range(2):
        assert main([HONEST, "--steps", "5"]) == 0
        seeds.add(capsys.readouterr().out.splitlines()[0])
    assert len(seeds) == 2


def test_a_divergence_is_printed_shrunk_and_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([LYING, "--seed", "7", "--steps", "250"]) == 1
    out = capsys.readouterr().out
    assert "diverged in 7/0: step " in out
    assert "1 of 250 steps suffice, in the climate Climate(" in out
    assert '"lies":true' in out
    assert "they diverge with: step " in out
    assert "the register holds" in out


def test_a_divergence_may_be_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([LYING, "--seed", "7", "--steps", "250", "--shrink", "0"]) == 1
    assert "250 of 250 steps suffice" in capsys.readouterr().out


def test_the_printed_command_finds_the_same_divergence_again(capsys: pytest.CaptureFixture[str]) -> None:
    found: list[str] = []
    for _ in range(2):
        main([LYING, "--seed", "7", "--steps", "250", "--shrink", "0"])
        found.append(next(line for line in capsys.readouterr().out.splitlines() if line.startswith("diverged")))
    assert found[0] == found[1]


def test_a_defect_behind_a_divergence_is_shown_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tests.testing.simulation.register:BROKEN", "--seed", "7", "--steps", "20"]) == 1
    out = capsys.readouterr().out
    assert "failed: ZeroDivisionError" in out
    assert "Traceback (most recent call last)" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kw"], "no system 'kw' is simulated"),
        (["kv", "--engine", "lmdb"], "no engine 'lmdb'"),
        (["nowhere:SCENARIO"], "cannot be loaded"),
    ],
)
def test_what_there_is_not_is_said_with_what_there_is(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "package.module:attribute" in error


def test_an_engine_of_one_s_own_is_named_by_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    path = "soundstage.testing.simulation.storage:memory"
    assert main([HONEST, "--seed", "1", "--steps", "20", "--engine", path]) == 0
    assert f"on {path}" in capsys.readouterr().out


def test_a_run_of_several_parts_has_one_trace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundstage.testing.simulation.episode.EPISODE_STEPS", 10)
    assert main([HONEST, "--seed", "1", "--steps", "30"]) == 0
    assert "of 3 parts" in capsys.readouterr().out
