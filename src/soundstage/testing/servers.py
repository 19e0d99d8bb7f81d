"""Fixtures that give tests a real server: started once, shared by the tests of their scope, gone with the run.

    cassandra = server_fixture("cassandra")

    def test_something(cassandra: Cluster) -> None:
        connect(cassandra.url)

What cannot be installed or started fails the tests that asked for it; nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Literal, TypeAlias

import pytest

from soundstage.servers.cluster import Cluster
from soundstage.servers.kind import Kind

Scope: TypeAlias = Literal["session", "package", "module", "class", "function"]


def server_fixture(
    kind: str | Kind, *, nodes: int = 1, scope: Scope = "session", settings: Mapping[str, str] | None = None
) -> Callable[[], Generator[Cluster]]:
    """A fixture of pytest, to be assigned to a name of a test module or `conftest.py`: a `Cluster` that is ready.

    A test that kills or pauses servers leaves them as it found them, or has a fixture with scope "function".
    """

    @pytest.fixture(scope=scope)
    def cluster() -> Generator[Cluster]:
        with Cluster(kind, nodes=nodes, settings=settings) as started:
            yield started

    return cluster
