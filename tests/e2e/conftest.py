from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.processes import Ended, Running

Start = Callable[..., Running]
Cli = Callable[..., Ended]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `soundstage` with these arguments in an empty folder; what still runs at the end is killed."""
    started: list[Running] = []

    def call(*arguments: str, variables: Mapping[str, str] | None = None, **options: Any) -> Running:
        started.append(Running(arguments, options.pop("folder", tmp_path), variables or {}, **options))
        return started[-1]

    yield call
    for each in started:
        each.kill()


@pytest.fixture
def cli(start: Start) -> Cli:
    """Runs `soundstage` with these arguments to its end, in the same folder."""

    def call(*arguments: str, given: bytes | None = None, **options: Any) -> Ended:
        return start(*arguments, **options).ended(given)

    return call
