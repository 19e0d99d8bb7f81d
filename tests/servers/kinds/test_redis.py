from __future__ import annotations

import pytest

from soundstage.servers.cluster import Cluster
from soundstage.servers.ports import answers

# Each starts a server, which may have to be brought first.
pytestmark = pytest.mark.slow


def test_it_answers_at_its_address() -> None:
    with Cluster("redis") as cluster:
        (node,) = cluster.nodes
        assert cluster.url == f"redis://{node.address}"
        assert answers(node.host, node.port, b"SET k v\r\n", b"+OK")


def test_with_a_log_it_keeps_what_was_written_before_it_was_killed() -> None:
    with Cluster("redis", settings={"appendonly": "yes"}) as cluster:
        (node,) = cluster.nodes
        assert answers(node.host, node.port, b"SET k v\r\n", b"+OK")
        cluster.restart()
        assert answers(node.host, node.port, b"GET k\r\n", b"$1\r\nv")
