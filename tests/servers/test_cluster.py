from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.servers.sample import Ring, Sample

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, NotFound, Unavailable
from soundstage.servers.catalogue import find
from soundstage.servers.cluster import Cluster, counted, plan, settled
from soundstage.servers.shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def test_a_cluster_is_ready_inside_and_gone_outside(shelf: Shelf) -> None:
    with Cluster(Sample(), nodes=2, shelf=shelf) as cluster:
        servers = cluster.servers
        assert [server.running for server in servers] == [True, True]
    assert [server.running for server in servers] == [False, False]


def test_its_temporary_files_are_gone_with_it(shelf: Shelf) -> None:
    with Cluster(Sample(), shelf=shelf) as cluster:
        folder = cluster.nodes[0].folder
        assert folder.is_dir()
    assert not folder.exists()


def test_a_folder_of_the_callers_is_kept(shelf: Shelf, tmp_path: Path) -> None:
    with Cluster(Sample(), folder=tmp_path / "mine", shelf=shelf):
        pass
    assert (tmp_path / "mine" / "node0" / "up").exists()


def test_its_address_names_every_node(shelf: Shelf) -> None:
    with Cluster(Sample(), nodes=2, shelf=shelf) as cluster:
        first, second = cluster.nodes
        assert cluster.url == f"sample://127.0.0.1:{first.port},127.0.0.1:{second.port}"


def test_what_is_done_is_told(shelf: Shelf) -> None:
    told: list[str] = []
    with Cluster(Sample(), shelf=shelf, note=told.append):
        pass
    assert told == ["installing the sample"]


def test_a_killed_node_comes_back_by_start(shelf: Shelf) -> None:
    with Cluster(Sample(), nodes=2, shelf=shelf) as cluster:
        left, right = (server.pid for server in cluster.servers)
        cluster.servers[0].kill()
        cluster.start()
        cluster.ready()
        assert cluster.servers[0].pid not in (None, left)
        assert cluster.servers[1].pid == right


def test_a_restart_gives_every_node_a_process_anew_on_the_same_ports(shelf: Shelf) -> None:
    with Cluster(Sample(), nodes=2, shelf=shelf) as cluster:
        before = [server.pid for server in cluster.servers]
        nodes = cluster.nodes
        cluster.restart()
        assert not set(before) & {server.pid for server in cluster.servers}
        assert cluster.nodes == nodes


def test_a_node_that_ends_at_once_is_told_with_what_it_printed(shelf: Shelf) -> None:
    with (
        pytest.raises(Unavailable, match=r"node 0 of sample has ended; its last lines:\nnode 0 begins"),
        Cluster(Sample(), settings={"works": "no"}, shelf=shelf),
    ):
        pass


def test_one_that_is_never_ready_is_given_up_and_leaves_nothing(shelf: Shelf) -> None:
    cluster = Cluster(Sample(), settings={"works": "never"}, shelf=shelf)
    cluster.start()
    servers = cluster.servers
    with pytest.raises(DeadlineExceeded, match="sample was not ready within"):
        cluster.ready(0.01)
    cluster.close()
    assert not any(server.running for server in servers)


def test_a_kind_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        Cluster("memcache")
    assert caught.value.hint == "did you mean 'memcached'?"


def test_a_setting_that_the_kind_has_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidArgument, match="has no setting 'work'") as caught:
        settled(Sample(), {"work": "yes"})
    assert caught.value.hint == "did you mean 'works'?"


def test_a_setting_far_from_all_is_refused_with_what_there_is() -> None:
    with pytest.raises(InvalidArgument) as caught:
        settled(Sample(), {"qqqqqqqq": "yes"})
    assert caught.value.hint == "it has: works"


def test_a_file_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("node.pem").touch()
    assert settled(find("memcached"), {"tls_pem": "node.pem"})["tls_pem"] == str(tmp_path / "node.pem")


def test_a_file_that_is_not_there_is_refused_by_its_path(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.pem")
    with pytest.raises(InvalidArgument, match=f"tls_pem names {missing}"):
        settled(find("memcached"), {"tls_pem": missing})


def test_settings_that_are_not_given_have_the_kinds_values() -> None:
    assert settled(Sample(), {}) == {"works": "yes"}


@pytest.mark.parametrize("nodes", [0, -1, 9])
def test_more_or_fewer_nodes_than_the_kind_runs_with_are_refused(nodes: int) -> None:
    with pytest.raises(InvalidArgument, match=f"1 to 8 nodes here, not with {nodes}"):
        counted(Sample(), nodes)


def test_nodes_on_one_host_have_ports_of_their_own(tmp_path: Path) -> None:
    nodes = plan(Sample(), 3, tmp_path, 0, {}, SystemEnvironment())
    assert len({port for node in nodes for port in node.ports.values()}) == 6


def test_nodes_on_hosts_of_their_own_share_ports_where_the_kind_wants_it(tmp_path: Path) -> None:
    nodes = plan(Ring(), 3, tmp_path, 0, {}, SystemEnvironment())
    assert [node.host for node in nodes] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert len({node.ports["first"] for node in nodes}) == 1
    assert len({node.ports["second"] for node in nodes}) == 3


def test_a_port_that_is_asked_for_is_the_first_nodes(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    (node,) = plan(Sample(), 1, tmp_path, port, {}, SystemEnvironment())
    assert node.port == port


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} of 127.0.0.1 is taken"):
            plan(Sample(), 1, tmp_path, port, {}, SystemEnvironment())
