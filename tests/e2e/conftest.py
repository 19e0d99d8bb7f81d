from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.processes import Ended, Place, Running

Start = Callable[..., Running]
Cli = Callable[..., Ended]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches the commands, though a shell that runs the tests in the background keeps it from its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty folder to run commands in."""
    with Place(tmp_path) as place:
        yield place


@pytest.fixture
def start(place: Place) -> Start:
    """Starts `soundstage` with these arguments in the place of the test."""
    return place.start


@pytest.fixture
def cli(place: Place) -> Cli:
    """Runs `soundstage` with these arguments to its end, in the same place."""
    return place.cli
