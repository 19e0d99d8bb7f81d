"""Clocks, randomness and sleep come from the Environment, so that one seed gives one history."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from tests.architecture.source import PACKAGE, TESTS, Module, modules

BANNED = re.compile(
    r"^(time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns|sleep)|random\.\w+|secrets\.\w+|"
    r"asyncio\.(sleep|timeout|wait_for)|uuid\.uuid[14]|os\.urandom|datetime\.(datetime\.)?(now|utcnow|today))$"
)

ENVIRONMENT = "soundstage.core.environment"

OUTSIDE_THE_SIMULATION = {
    "soundstage.surface.cli": "a human waits: progress bars and polling run on the wall",
    "soundstage.demo": "a human waits, and its figures are measured on the wall",
    "soundstage.datasets": "downloads wait for other programs",
    "soundstage.servers": "starts other programs and waits for them",
    "soundstage.client": "talks to a remote stage, of which the simulation has none",
    "soundstage.surface.http": "socket time-outs belong to the machine",
    "soundstage.testing": "measures and kills real processes, and seeds the simulation itself",
}
"""Packages that observe the machine instead of coordinating, and why they may."""


UNIMPLEMENTED = {"soundstage.core.scalars": "msgspec asks a schema hook for this error"}


def banned_calls(module: Module) -> list[str]:
    return [f"{module.name}:{line} {name}" for name, line in module.calls() if BANNED.match(name)]


def may_call(name: str) -> bool:
    return name == ENVIRONMENT or any(
        name == package or name.startswith(f"{package}.") for package in OUTSIDE_THE_SIMULATION
    )


def test_what_coordinates_takes_time_and_randomness_from_the_environment() -> None:
    assert [call for module in modules() if not may_call(module.name) for call in banned_calls(module)] == []


def test_nothing_in_the_source_is_left_unimplemented() -> None:
    left = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        for node in module.nodes
        if isinstance(node, ast.Name) and node.id == "NotImplementedError" and module.name not in UNIMPLEMENTED
    ]
    assert left == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    marks = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b|unittest\.skip")
    assert [
        module.name for module in modules(TESTS) if marks.search(module.text) and module.path != Path(__file__)
    ] == []


def test_no_test_sleeps_on_the_wall_clock() -> None:
    sleeps = [
        f"{module.name}:{line}"
        for module in modules(TESTS)
        if "sleep" in module.text
        for name, line in module.calls()
        if name == "time.sleep"
    ]
    assert sleeps == []


@pytest.mark.parametrize(
    "code",
    [
        "import time\ntime.time()",
        "from time import monotonic\nmonotonic()",
        "import random\nrandom.random()",
        "import asyncio as aio\naio.sleep(1)",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.now()",
        "import uuid\nuuid.uuid4()",
    ],
)
def test_a_banned_call_is_found(tmp_path: Path, code: str) -> None:
    path = tmp_path / "sample.py"
    path.write_text(code)
    assert banned_calls(Module(path))


def test_the_packages_named_exist() -> None:
    names = {module.name for module in modules(PACKAGE)}
    assert {ENVIRONMENT, *OUTSIDE_THE_SIMULATION} <= names
