from __future__ import annotations

import json
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.servers.cluster import Cluster, plan
from soundstage.servers.kinds.temporal import Temporal, TemporalKit
from soundstage.servers.wheels import Wheels
from soundstage.testing.servers import server_fixture

temporal = server_fixture("temporal", scope="module")

WORKFLOW = {"workflowType": {"name": "encode"}, "taskQueue": {"name": "nobody"}}


def asked(cluster: Cluster, workflow: str, message: object = None) -> tuple[int, str]:
    """Status and body of a request about one workflow, by the server's own HTTP API."""
    (node,) = cluster.nodes
    where = f"http://{node.host}:{node.ports['http']}/api/v1/namespaces/default/workflows/{workflow}"
    body = None if message is None else json.dumps(message).encode()
    request = urllib.request.Request(where, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_is_told_its_ports_and_where_its_file_is(tmp_path: Path) -> None:
    kind = Temporal()
    (node,) = nodes = plan(kind, 1, tmp_path, 0, {"log_level": "warn"}, SystemEnvironment())
    program, *words = TemporalKit(Wheels(Path("/wheel"), "python3")).launch(node, nodes).command
    told = dict(pairwise(words))
    assert program == "/wheel/bin/temporal"
    assert [told["--port"], told["--http-port"], told["--metrics-port"]] == [str(port) for port in node.ports.values()]
    assert (told["--ip"], told["--log-level"]) == ("127.0.0.1", "warn")
    assert told["--db-filename"] == str(node.folder / "temporal.db")


def test_it_names_its_address_and_is_not_ready_before_it_runs(tmp_path: Path) -> None:
    kind = Temporal()
    (node,) = plan(kind, 1, tmp_path, 0, {}, SystemEnvironment())
    assert kind.url([node]) == f"temporal://127.0.0.1:{node.ports['grpc']}"
    assert not kind.ready([node])


@pytest.mark.slow
def test_a_workflow_that_was_started_is_there_after_it_was_killed(temporal: Cluster) -> None:
    assert asked(temporal, "heat", WORKFLOW)[0] == 200
    temporal.restart()
    status, text = asked(temporal, "heat")
    assert status == 200
    assert "WORKFLOW_EXECUTION_STATUS_RUNNING" in text
    assert asked(temporal, "heat", WORKFLOW)[0] == 409


@pytest.mark.slow
def test_one_that_is_paused_answers_nobody_and_goes_on(temporal: Cluster) -> None:
    (server,) = temporal.servers
    server.pause()
    try:
        assert not temporal.kind.ready(temporal.nodes)
    finally:
        server.resume()
    temporal.ready()
    assert server.running
