from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.processes import Ended, Place, Running

Start = Callable[..., Running]
Cli = Callable[..., Ended]


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
