from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from benchmarks.programs import MissingProgram, cpu_seconds, need, need_package, output_of, resident_bytes


def test_a_program_that_is_missing_is_named_with_the_line_that_installs_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MissingProgram) as ended:
        need({"sh": "dash", "no-such-program": "some-package", "nor-this": "some-package"})
    assert ended.value.code == 3
    assert "no-such-program, nor-this: apt-get install some-package\n" in capsys.readouterr().out


def test_a_package_that_is_missing_is_named_with_the_line_that_installs_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert need_package("json") is json
    with pytest.raises(MissingProgram) as ended:
        need_package("no_such_package")
    assert ended.value.code == 3
    assert "no_such_package: pip install no_such_package\n" in capsys.readouterr().out


def test_nothing_is_said_when_every_program_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    need({"sh": "dash"})
    assert capsys.readouterr().out == ""


def test_cpu_time_of_a_process_grows_while_it_works() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) < before + 0.02:
        sum(range(100_000))
    assert cpu_seconds(os.getpid()) > before


def test_a_process_has_memory_of_its_own() -> None:
    assert resident_bytes(os.getpid()) > 1 << 20


def test_the_output_of_a_program_is_its_standard_output() -> None:
    assert output_of(sys.executable, "-c", "print('hello')") == "hello\n"


def test_a_program_that_fails_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        output_of(sys.executable, "-c", "raise SystemExit(1)")
