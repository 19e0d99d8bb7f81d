"""One database for the catalogues of all tests below: each test has a catalogue and a folder of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from soundstage.engines.tables.iceberg import Address, shared_address
from soundstage.servers import Cluster
from soundstage.testing.servers import server_fixture

postgresql: Callable[[], Generator[Cluster]] = server_fixture("postgresql")

_numbers = itertools.count()


def address_at(url: str, folder: Path, catalogue: str, query: str = "", password_file: str | None = None) -> Address:
    """A catalogue in the database there, with its tables below `folder`."""
    shared = urlsplit(f"iceberg+{url}?warehouse={folder}&catalogue={catalogue}&{query}")
    return shared_address("suite", shared, {}, password_file)


@pytest.fixture
def catalogue() -> str:
    return f"suite{next(_numbers)}"


@pytest.fixture
def shared(postgresql: Cluster, tmp_path: Path, catalogue: str) -> Address:
    return address_at(postgresql.url, tmp_path, catalogue)
