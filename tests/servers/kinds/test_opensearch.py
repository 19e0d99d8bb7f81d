from __future__ import annotations

import zipfile
from pathlib import Path

from soundstage.core.environment import SystemEnvironment
from soundstage.servers.cluster import plan
from soundstage.servers.java import COMPILER, read_digests
from soundstage.servers.kinds.opensearch import LAUNCHER, OpenSearch, OpenSearchKit, unpack_jars
from soundstage.servers.programs import Tool


def test_its_files_are_written_before_it_starts(tmp_path: Path) -> None:
    kind = OpenSearch()
    nodes = plan(kind, 1, tmp_path, 0, {"heap_mb": "300"}, SystemEnvironment())
    launch = OpenSearchKit(Tool(Path("/java")), Path("/lib")).launch(nodes[0], nodes)
    assert (nodes[0].folder / "home" / "config").is_dir()
    assert "rootLogger" in (nodes[0].folder / "log4j2.properties").read_text()
    assert "-Xmx300m" in launch.command
    assert f"http.port={nodes[0].port}" in launch.command
    assert f"transport.port={nodes[0].ports['transport']}" in launch.command
    assert LAUNCHER in launch.command


def test_it_names_its_address(tmp_path: Path) -> None:
    kind = OpenSearch()
    (node,) = plan(kind, 1, tmp_path, 0, {}, SystemEnvironment())
    assert kind.url([node]) == f"opensearch://{node.address}"
    assert not kind.ready([node])


def test_its_jars_are_those_of_the_version() -> None:
    stated = read_digests("opensearch.sha256")
    assert {f"opensearch-knn-{OpenSearch().version}.0.zip", f"ecj-{COMPILER}.jar"} <= stated.keys()


def test_the_jars_of_a_plugin_are_unpacked_and_nothing_else(tmp_path: Path) -> None:
    archive = tmp_path / "plugin.zip"
    with zipfile.ZipFile(archive, "w") as content:
        for name in ("plugin.jar", "LICENSE.txt", "../outside.jar", "folder/inside.jar"):
            content.writestr(name, name)
    unpack_jars(archive)
    assert [path.name for path in tmp_path.iterdir()] == ["plugin.jar"]
    assert not (tmp_path.parent / "outside.jar").exists()


def test_its_program_is_that_which_the_kind_names() -> None:
    source = Path(OpenSearchKit.__module__.replace(".", "/"))
    launcher = Path("src") / source.parent / f"{LAUNCHER}.java"
    assert f"class {LAUNCHER} extends Node" in launcher.read_text()
