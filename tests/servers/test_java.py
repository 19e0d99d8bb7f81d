from __future__ import annotations

import ssl
import struct
from pathlib import Path

import pytest
import trustme

from soundstage.core.errors import DataLoss, Unavailable
from soundstage.servers.java import (
    COMPILER,
    COMPILER_DEPENDENCY,
    JavaKit,
    compile_launcher,
    java,
    read_digests,
    require_digests,
    system_certificates,
    write_trust,
)
from soundstage.servers.kind import Node
from soundstage.servers.programs import Tool, Toolbox
from soundstage.servers.shelf import Shelf

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    return Toolbox(Shelf(tmp_path / "shelf"), lambda _: None)


def make_java(home: Path, version: str) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch(0o755)
    (home / "release").write_text(f'IMPLEMENTOR="Debian"\nJAVA_VERSION="{version}"\n')
    return home / "bin" / "java"


def test_the_java_of_the_variable_comes_first(
    toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_java(tmp_path / "home", "17.0.9")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert java(toolbox).path == path


def test_a_java_of_another_version_is_passed_over(
    toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_java(tmp_path / "new", "25.0.1")
    found = make_java(tmp_path / "old", "17.0.9")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("PATH", str(found.parent))
    assert java(toolbox).path == found


def test_a_home_without_a_java_is_passed_over(
    toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = make_java(tmp_path / "home", "17")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    monkeypatch.setenv("PATH", str(found.parent))
    assert java(toolbox).path == found


def test_a_node_runs_with_the_heap_of_its_setting_and_logs_to_its_console(tmp_path: Path) -> None:
    node = Node(0, tmp_path, "127.0.0.1", {"http": 1}, {"heap_mb": "300"})
    path, *options = JavaKit(Tool(Path("/java")), Path("/lib")).program(node)
    logging = tmp_path / "log4j2.properties"
    assert path == "/java"
    assert {"-Xmx300m", f"-Dlog4j2.configurationFile={logging}"} <= set(options)
    assert "rootLogger.appenderRef.console.ref = console" in logging.read_text().splitlines()


def test_jars_that_are_as_stated_pass(tmp_path: Path) -> None:
    (tmp_path / "a.jar").touch()
    require_digests(tmp_path, {"a.jar": EMPTY})


@pytest.mark.parametrize("stated", [{}, {"a.jar": "0" * 64}, {"a.jar": EMPTY, "b.jar": EMPTY}])
def test_other_jars_than_stated_are_refused(tmp_path: Path, stated: dict[str, str]) -> None:
    (tmp_path / "a.jar").touch()
    with pytest.raises(DataLoss, match="other files than this release of soundstage names"):
        require_digests(tmp_path, stated)


@pytest.mark.parametrize("listed", ["druid.sha256", "opensearch.sha256"])
def test_a_kind_with_a_launcher_brings_what_compiles_it(listed: str) -> None:
    assert f"ecj-{COMPILER}.jar" in read_digests(listed)
    assert f"<version>{COMPILER}</version>" in COMPILER_DEPENDENCY


def test_a_launcher_that_does_not_compile_is_told_by_its_server(toolbox: Toolbox, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="compiling what starts Druid failed"):
        compile_launcher("DruidNode", "Druid", tmp_path, Tool(Path("/bin/false")), toolbox.work(tmp_path))
    assert (tmp_path / "work" / "DruidNode.java").is_file()


def test_a_list_of_digests_is_read() -> None:
    stated = read_digests("cassandra.sha256")
    assert len(stated) == 100
    assert all(name.endswith(".jar") and len(digest) == 64 for name, digest in stated.items())


def test_certificates_are_written_as_java_reads_them(tmp_path: Path) -> None:
    certificate = ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())
    write_trust(tmp_path / "trust", [certificate])
    content = (tmp_path / "trust").read_bytes()
    assert struct.unpack_from(">III", content) == (0xFEEDFEED, 2, 1)
    assert certificate in content


def test_the_certificates_are_those_of_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA().cert_pem
    authority.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert system_certificates() == [ssl.PEM_cert_to_DER_cert(authority.bytes().decode())]


def test_without_the_variable_there_are_certificates_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert len(system_certificates()) > 10
