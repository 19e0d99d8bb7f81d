from __future__ import annotations

import socket

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.servers.cluster import Cluster
from soundstage.servers.ports import answers

# Each starts a server, which may have to be brought first.
pytestmark = pytest.mark.slow


def test_two_nodes_are_two_caches() -> None:
    with Cluster("memcached", nodes=2) as cluster:
        first, second = cluster.nodes
        assert cluster.url == f"memcached://{first.address},{second.address}"
        assert answers(first.host, first.port, b"set k 0 0 1\r\nv\r\n", b"STORED")
        assert answers(first.host, first.port, b"mg k v\r\n", b"VA 1\r\nv")
        assert answers(second.host, second.port, b"mg k v\r\n", b"EN\r\n")


def test_its_settings_reach_it() -> None:
    chosen = {"memory_mb": "32", "threads": "1", "item_kb": "64", "evicts": "false"}
    with (
        Cluster("memcached", settings=chosen) as cluster,
        socket.create_connection((cluster.nodes[0].host, cluster.nodes[0].port), timeout=30) as connection,
    ):
        connection.sendall(b"stats settings\r\n")
        answer = b""
        while not answer.endswith(b"END\r\n"):
            answer += connection.recv(4096)
    assert b"STAT maxbytes 33554432\r\n" in answer
    assert b"STAT num_threads 1\r\n" in answer
    assert b"STAT item_size_max 65536\r\n" in answer
    assert b"STAT evictions off\r\n" in answer


def test_one_that_restarts_is_empty() -> None:
    with Cluster("memcached") as cluster:
        (node,) = cluster.nodes
        assert answers(node.host, node.port, b"set k 0 0 1\r\nv\r\n", b"STORED")
        cluster.restart()
        assert answers(node.host, node.port, b"mg k v\r\n", b"EN\r\n")


def test_a_paused_one_answers_nothing_until_it_is_resumed() -> None:
    with Cluster("memcached") as cluster:
        (node,) = cluster.nodes
        cluster.servers[0].pause()
        assert not cluster.kind.ready([node])
        cluster.servers[0].resume()
        cluster.ready()


def test_one_with_a_user_serves_those_who_log_in() -> None:
    with Cluster("memcached", settings={"user": "ada", "password": "open"}) as cluster:
        (node,) = cluster.nodes
        assert answers(node.host, node.port, b"mn\r\n", b"CLIENT_ERROR unauthenticated")
        assert answers(node.host, node.port, b"set k 0 0 8\r\nada open\r\n", b"STORED")


@pytest.mark.parametrize("settings", [{"user": "a da"}, {"user": "ada", "password": "a:b"}])
def test_users_and_passwords_are_letters_and_digits(settings: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match="letters and digits"), Cluster("memcached", settings=settings):
        pass
