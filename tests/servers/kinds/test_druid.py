from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.servers.cluster import Cluster, plan, wait_ready
from soundstage.servers.java import read_digests
from soundstage.servers.kind import Node
from soundstage.servers.kinds.druid import LAUNCHER, SERVICES, Druid, DruidKit, properties, write_properties
from soundstage.servers.programs import Tool
from soundstage.testing.servers import server_fixture

druid = server_fixture("druid", scope="module")

VIEWS = "2026-01-01T00:00:00Z,heat,3\n2026-01-01T01:00:00Z,heat,4\n2026-01-02T02:00:00Z,ronin,5\n"
TASK = {
    "type": "index_parallel",
    "spec": {
        "ioConfig": {
            "type": "index_parallel",
            "inputSource": {"type": "inline", "data": VIEWS},
            "inputFormat": {"type": "csv", "columns": ["at", "title", "plays"]},
        },
        "dataSchema": {
            "dataSource": "views",
            "timestampSpec": {"column": "at", "format": "iso"},
            "dimensionsSpec": {"dimensions": ["title"]},
            "metricsSpec": [{"type": "longSum", "name": "plays", "fieldName": "plays"}],
            "granularitySpec": {"segmentGranularity": "DAY", "queryGranularity": "NONE"},
        },
        "tuningConfig": {"type": "index_parallel"},
    },
}
TOTALS = "SELECT title, SUM(plays) AS plays FROM views GROUP BY title ORDER BY title"
LOADED_WITHIN_S = 120.0
PATIENCE_S = 420
"""A busy machine takes two minutes to start it, and another for the task."""


def planned(folder: Path) -> Node:
    (node,) = plan(Druid(), 1, folder, 0, {"heap_mb": "300"}, SystemEnvironment())
    return node


def asked(node: Node, service: str, path: str, message: object) -> Any:
    where = f"http://{node.host}:{node.ports[service]}{path}"
    request = urllib.request.Request(where, json.dumps(message).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


class Loaded(Druid):
    """Ready when a query answers for all views: what a task has written is found some seconds later."""

    def ready(self, nodes: Sequence[Node]) -> bool:
        try:
            found = asked(nodes[0], "broker", "/druid/v2/sql", {"query": TOTALS})
        except urllib.error.HTTPError as error:
            # It does not know the table.
            error.close()
            return False
        return found == [{"title": "heat", "plays": 7}, {"title": "ronin", "plays": 5}]


def test_every_service_has_a_file_a_port_and_the_same_zookeeper(tmp_path: Path) -> None:
    node = planned(tmp_path)
    launch = DruidKit(Tool(Path("/java")), Path("/lib")).launch(node, [node])
    for service in SERVICES:
        lines = (node.folder / f"{service}.properties").read_text().splitlines()
        assert f"druid.plaintextPort={node.ports[service]}" in lines
        assert f"druid.zk.service.host=127.0.0.1:{node.ports['zookeeper']}" in lines
        assert str(node.folder / f"{service}.properties") in launch.command
    assert {"-Xmx300m", LAUNCHER} <= set(launch.command)


def test_everything_it_writes_is_below_its_folder(tmp_path: Path) -> None:
    node = planned(tmp_path)
    places = [value for service in SERVICES for value in properties(service, node).values() if "/" in value]
    inside = [value for value in places if str(node.folder) in value]
    assert [value for value in places if value not in inside and not value.startswith("druid/")] == []


def test_a_backslash_is_written_as_java_reads_it(tmp_path: Path) -> None:
    node = planned(tmp_path / "a\\b")
    text = write_properties(tmp_path / "broker.properties", "broker", node).read_text()
    assert "a\\\\b/node0/segments" in text


def test_its_jars_are_those_of_the_version() -> None:
    assert f"druid-services-{Druid().version}.jar" in read_digests("druid.sha256")


def test_its_program_is_that_which_the_kind_names() -> None:
    launcher = Path("src") / Path(DruidKit.__module__.replace(".", "/")).parent / f"{LAUNCHER}.java"
    assert f"class {LAUNCHER} " in launcher.read_text()


def test_it_names_its_address_and_is_not_ready_before_it_runs(tmp_path: Path) -> None:
    node = planned(tmp_path)
    assert Druid().url([node]) == f"http://127.0.0.1:{node.ports['broker']}"
    assert not Druid().ready([node])


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_what_a_task_has_loaded_is_aggregated(druid: Cluster) -> None:
    (node,) = druid.nodes
    assert asked(node, "coordinator", "/druid/indexer/v1/task", TASK)["task"].startswith("index_parallel_views")
    wait_ready(Loaded(), druid.nodes, lambda: None, LOADED_WITHIN_S)
    by_day = {
        "queryType": "timeseries",
        "dataSource": "views",
        "granularity": "day",
        "intervals": ["2026-01-01/2026-01-03"],
        "aggregations": [{"type": "longSum", "name": "plays", "fieldName": "plays"}],
    }
    days = asked(node, "broker", "/druid/v2", by_day)
    assert [day["result"]["plays"] for day in days] == [7, 5]


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_one_that_is_paused_answers_nobody_and_goes_on(druid: Cluster) -> None:
    (server,) = druid.servers
    server.pause()
    try:
        assert not druid.kind.ready(druid.nodes)
    finally:
        server.resume()
    druid.ready()
    assert server.running
