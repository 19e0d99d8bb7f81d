from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.servers.cluster import Cluster, plan
from soundstage.servers.java import read_digests
from soundstage.servers.kinds.kafka import Kafka, KafkaKit
from soundstage.servers.ports import answers
from soundstage.servers.programs import Tool
from soundstage.testing.servers import server_fixture

kafka = server_fixture("kafka", scope="module")


def test_its_files_are_written_before_it_starts(tmp_path: Path) -> None:
    kind = Kafka()
    nodes = plan(kind, 1, tmp_path, 0, {"heap_mb": "300"}, SystemEnvironment())
    launch = KafkaKit(Tool(Path("/java")), Path("/lib")).launch(nodes[0], nodes)
    settings = (nodes[0].folder / "server.properties").read_text()
    assert f"listeners=PLAINTEXT://127.0.0.1:{nodes[0].port},CONTROLLER://" in settings
    assert f"log.dirs={nodes[0].folder}/data" in settings
    assert "-Xmx300m" in launch.command


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
