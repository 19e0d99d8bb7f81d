from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import InvalidArgument
from soundstage.servers.cluster import Cluster, plan, settled
from soundstage.servers.java import read_digests
from soundstage.servers.kinds.kafka import Kafka, KafkaKit, configuration
from soundstage.servers.ports import answers
from soundstage.servers.programs import Tool
from soundstage.testing.servers import server_fixture

kafka = server_fixture("kafka", scope="module")


def test_its_files_are_written_before_it_starts(tmp_path: Path) -> None:
    kind = Kafka()
    nodes = plan(kind, 1, tmp_path, 0, settled(kind, {"heap_mb": "300"}), SystemEnvironment())
    launch = KafkaKit(Tool(Path("/java")), Path("/lib")).launch(nodes[0], nodes)
    settings = (nodes[0].folder / "server.properties").read_text()
    assert f"listeners=PLAINTEXT://127.0.0.1:{nodes[0].port},CONTROLLER://" in settings
    assert f"log.dirs={nodes[0].folder}/data" in settings
    assert "-Xmx300m" in launch.command


def written(folder: Path, given: dict[str, str], count: int = 1) -> list[dict[str, str]]:
    """What the brokers of a cluster are started with, by name."""
    kind = Kafka()
    nodes = plan(kind, count, folder, 0, settled(kind, given), SystemEnvironment())
    texts = [configuration(node, nodes) for node in nodes]
    return [dict(line.split("=", 1) for line in text.splitlines()) for text in texts]


def test_nobody_is_asked_who_it_is_unless_that_is_wanted(tmp_path: Path) -> None:
    (settings,) = written(tmp_path, {})
    assert "LOGIN:" not in settings["listeners"]
    assert not [name for name in settings if "ssl" in name or "sasl" in name]


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ({"tls_pem": "broker.pem"}, "SSL"),
        ({"user": "alice"}, "SASL_PLAINTEXT"),
        ({"tls_pem": "broker.pem", "user": "alice"}, "SASL_SSL"),
    ],
)
def test_its_second_port_wants_what_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], protocol: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broker.pem").touch()
    (settings,) = written(tmp_path, given)
    assert "LOGIN://127.0.0.1:" in settings["listeners"]
    assert settings["listener.security.protocol.map"].endswith(f"LOGIN:{protocol}")
    assert settings.get("ssl.keystore.location") == (str(tmp_path / "broker.pem") if "tls_pem" in given else None)
    assert ("super.users" in settings) == ("user" in given)


def test_clients_of_its_second_port_are_told_to_come_to_a_proxy(tmp_path: Path) -> None:
    (settings,) = written(tmp_path, {"advertised": "127.0.0.1:5"})
    assert "127.0.0.1:5" not in settings["listeners"]
    assert settings["advertised.listeners"].endswith(",LOGIN://127.0.0.1:5")
    assert settings["listener.security.protocol.map"].endswith("LOGIN:PLAINTEXT")


def test_users_are_made_as_its_folder_is(tmp_path: Path) -> None:
    kind = Kafka()
    given = settled(kind, {"user": "alice", "password": "opensesame"})
    nodes = plan(kind, 1, tmp_path, 0, given, SystemEnvironment())
    launch = KafkaKit(Tool(Path("/java")), Path("/lib")).launch(nodes[0], nodes)
    assert "--add-scram 'SCRAM-SHA-512=[name=alice,password=opensesame]'" in launch.command[2]


@pytest.mark.parametrize("given", [{"user": "a'b"}, {"user": "alice", "password": '"; rm'}])
def test_a_user_that_would_be_something_else_in_its_files_is_refused(tmp_path: Path, given: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        written(tmp_path, given)


@pytest.mark.parametrize(("count", "copies", "in_sync"), [(1, "1", "1"), (2, "2", "1"), (3, "3", "2"), (5, "3", "2")])
def test_of_three_copies_two_are_enough(tmp_path: Path, count: int, copies: str, in_sync: str) -> None:
    found = written(tmp_path, {}, count)
    assert {each["default.replication.factor"] for each in found} == {copies}
    assert {each["min.insync.replicas"] for each in found} == {in_sync}
    assert [each["node.id"] for each in found] == [str(number + 1) for number in range(count)]
    assert {each["controller.quorum.voters"].count("@") for each in found} == {count}


def test_its_jars_are_those_of_the_version() -> None:
    assert f"kafka_2.13-{Kafka().version}.jar" in read_digests("kafka.sha256")


@pytest.mark.slow
def test_it_is_ready_and_names_its_address(kafka: Cluster) -> None:
    (node,) = kafka.nodes
    assert kafka.url == f"kafka://{node.address}"
    assert kafka.kind.ready(kafka.nodes)


@pytest.mark.slow
def test_it_is_another_protocol_that_is_not_answered(kafka: Cluster) -> None:
    (node,) = kafka.nodes
    assert not answers(node.host, node.port, b"version\r\n", b"VERSION")


@pytest.mark.slow
def test_one_that_was_killed_is_the_same_afterwards(kafka: Cluster) -> None:
    marker = kafka.nodes[0].folder / "data" / "meta.properties"
    before = marker.read_text()
    kafka.restart()
    assert marker.read_text() == before
    assert "node.id=1" in before
