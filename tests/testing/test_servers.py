from __future__ import annotations

import pytest

from soundstage.servers.cluster import Cluster
from soundstage.testing.servers import server_fixture

memcached = server_fixture("memcached", nodes=2, scope="module")
alone = server_fixture("memcached", scope="function", settings={"memory_mb": "16"})
seen: set[int | None] = set()


def test_a_fixture_gives_a_cluster_that_is_ready(memcached: Cluster) -> None:
    assert memcached.kind.ready(memcached.nodes)
    assert len(memcached.nodes) == 2


@pytest.mark.parametrize("number", [1, 2])
def test_the_tests_of_a_scope_share_it(memcached: Cluster, number: int) -> None:
    seen.add(memcached.servers[0].pid)
    assert len(seen) == 1


def test_it_has_the_settings_that_were_asked_for(alone: Cluster) -> None:
    assert alone.settings["memory_mb"] == "16"
    alone.servers[0].kill()


def test_a_scope_of_one_test_gives_each_its_own(alone: Cluster) -> None:
    assert alone.servers[0].running
