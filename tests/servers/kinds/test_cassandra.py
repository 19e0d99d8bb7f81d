from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.servers.cluster import Cluster, plan
from soundstage.servers.kinds.cassandra import Cassandra, CassandraKit, configuration
from soundstage.servers.kinds.cql import Session
from soundstage.servers.programs import Tool, Toolbox
from soundstage.servers.shelf import Shelf


def test_tokens_divide_the_ring(tmp_path: Path) -> None:
    kind = Cassandra()
    nodes = plan(kind, 3, tmp_path, 0, kind.settings, SystemEnvironment())
    tokens = [line for node in nodes for line in configuration(node, nodes).splitlines() if "initial_token" in line]
    assert tokens == [
        "initial_token: -9223372036854775808",
        "initial_token: -3074457345618258603",
        "initial_token: 3074457345618258602",
    ]


def test_every_node_is_a_seed_with_its_port(tmp_path: Path) -> None:
    kind = Cassandra()
    nodes = plan(kind, 2, tmp_path, 0, kind.settings, SystemEnvironment())
    port = nodes[0].ports["storage"]
    assert f'seeds: "127.0.0.1:{port},127.0.0.2:{port}"' in configuration(nodes[1], nodes)


@pytest.mark.parametrize("tls_pem", ["", "/etc/node.pem"])
def test_clients_may_use_tls_where_there_is_a_certificate(tmp_path: Path, tls_pem: str) -> None:
    kind = Cassandra()
    settings = {**kind.settings, "tls_pem": tls_pem}
    (node,) = nodes = plan(kind, 1, tmp_path, 0, settings, SystemEnvironment())
    found = [line.strip() for line in configuration(node, nodes).splitlines() if "keystore" in line]
    assert found == (["keystore: /etc/node.pem"] if tls_pem else [])


def launched(tmp_path: Path, nodes: int, data_centres: str) -> list[str]:
    """In which data centre each node says that it is."""
    kind = Cassandra()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "jamm-0.jar").touch()
    kit = CassandraKit(Tool(Path("java"), {}), tmp_path / "lib")
    planned = plan(kind, nodes, tmp_path, 0, {**kind.settings, "data_centres": data_centres}, SystemEnvironment())
    for node in planned:
        node.folder.mkdir(exist_ok=True)
        kit.launch(node, planned)
    return [(node.folder / "rackdc.properties").read_text().splitlines()[0] for node in planned]


@pytest.mark.parametrize(
    ("data_centres", "found"),
    [
        ("1", ["dc=datacenter1"] * 3),
        ("2", ["dc=datacenter1", "dc=datacenter2", "dc=datacenter1"]),
    ],
)
def test_nodes_are_dealt_out_to_data_centres(tmp_path: Path, data_centres: str, found: list[str]) -> None:
    assert launched(tmp_path, 3, data_centres) == found


@pytest.mark.parametrize("data_centres", ["0", "-1", "two", ""])
def test_a_number_of_data_centres_that_is_none_is_refused(tmp_path: Path, data_centres: str) -> None:
    with pytest.raises(InvalidArgument):
        launched(tmp_path, 1, data_centres)


@pytest.mark.slow
def test_it_is_the_version_that_is_said(cassandra: Cluster) -> None:
    (node,) = cassandra.nodes
    with Session(node.host, node.port) as session:
        assert session.query("SELECT release_version FROM system.local") == [[cassandra.kind.version.encode()]]


@pytest.mark.slow
def test_nodetool_asks_a_node(cassandra: Cluster) -> None:
    kit = Cassandra().install(Toolbox(Shelf(), lambda _: None))
    assert isinstance(kit, CassandraKit)
    (node,) = cassandra.nodes
    launch = kit.nodetool(node, "status")
    variables = {**os.environ, **launch.variables}
    run = subprocess.run(launch.command, capture_output=True, text=True, timeout=60, check=True, env=variables)
    assert f"UN  {node.host}" in run.stdout


@pytest.mark.slow
def test_what_was_written_before_it_was_killed_is_there_after(cassandra: Cluster) -> None:
    (node,) = cassandra.nodes
    with Session(node.host, node.port) as session:
        for statement in (
            "CREATE KEYSPACE killed WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
            "CREATE TABLE killed.t (k int PRIMARY KEY, v text)",
            *(f"INSERT INTO killed.t (k, v) VALUES ({number}, 'v{number}')" for number in range(20)),
        ):
            session.query(statement)
    cassandra.restart()
    with Session(node.host, node.port) as session:
        assert sorted(row[0] or b"" for row in session.query("SELECT v FROM killed.t")) == sorted(
            f"v{number}".encode() for number in range(20)
        )
