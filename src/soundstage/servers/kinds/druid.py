"""Apache Druid, from its artifacts for Java: all of its services in one process, started by a small program of ours.

Its services are coordinator with overlord, historical, broker and indexer; beside them run ZooKeeper, by which they
find each other, and Derby for metadata. Segments lie in files. Periods are those of a test, and pools are small.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from soundstage.servers.java import COMPILER_DEPENDENCY, JavaKit, compile_launcher, jars, java
from soundstage.servers.kind import Launch, Node, Settings, Standalone
from soundstage.servers.ports import fetched
from soundstage.servers.programs import Toolbox
from soundstage.servers.work import Work

VERSION = "33.0.0"
NAME = f"druid-{VERSION}"
LAUNCHER = "DruidNode"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>druid</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.druid</groupId><artifactId>druid-services</artifactId><version>{VERSION}</version>
<exclusions><exclusion><groupId>org.hyperic</groupId><artifactId>sigar</artifactId></exclusion></exclusions></dependency>
{COMPILER_DEPENDENCY}
</dependencies></project>
"""

SERVICES = ("coordinator", "historical", "broker", "indexer")

_OPEN = ("java.nio", "sun.nio.ch", "jdk.internal.ref", "java.io", "java.lang")
_OPTIONS = (
    "-XX:MaxDirectMemorySize=256m",
    "-Duser.timezone=UTC",
    "-Dderby.stream.error.file=/dev/null",
    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPEN),
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
)


class Druid(Standalone):
    """One process; clients ask the broker, and give tasks to the coordinator."""

    name: str = "druid"
    summary: str = "aggregations over events by time"
    version: str = VERSION
    nodes_max: int = 1
    ports: tuple[str, ...] = ("broker", "coordinator", "historical", "indexer", "zookeeper", "derby")
    settings: Settings = MappingProxyType({"heap_mb": "384"})
    ready_within_s: float = 240.0
    stop_within_s: float = 5.0
    # Asked to end, it takes 20 s; killed, it has on disk what it had acknowledged.
    stop_signal: signal.Signals = signal.SIGKILL

    def install(self, toolbox: Toolbox) -> DruidKit:
        """See `Kind`. 210 MB of jars, and Java 17 where the system has none."""
        runtime = java(toolbox)

        def finish(folder: Path, work: Work) -> None:
            compile_launcher(LAUNCHER, "Druid", folder, runtime, work)

        return DruidKit(runtime, jars(NAME, POM, "druid.sha256", toolbox, finish))

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`. All services say so, and the overlord has found whom to give tasks."""
        return all(_healthy(node) and _workers(node) for node in nodes)

    def url(self, nodes: Sequence[Node]) -> str:
        """See `Kind`. The broker, which answers queries."""
        return f"http://{nodes[0].address}"


class DruidKit(JavaKit):
    """See `JavaKit`; its launcher is among the jars."""

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`."""
        places = [write_properties(node.folder / f"{service}.properties", service, node) for service in SERVICES]
        where = (node.host, str(node.ports["zookeeper"]), str(node.folder / "zookeeper"), *map(str, places))
        classes = ("-cp", f"{self.lib}:{self.lib}/*", LAUNCHER)
        return Launch((*self.program(node), *_OPTIONS, *classes, *where), self.java.variables)


def properties(service: str, node: Node) -> dict[str, str]:
    """The settings of one service."""
    host, folder, derby = node.host, node.folder, node.ports["derby"]
    return {
        "druid.service": f"druid/{service}",
        "druid.host": host,
        "druid.plaintextPort": str(node.ports[service]),
        "druid.zk.service.host": f"{host}:{node.ports['zookeeper']}",
        "druid.extensions.loadList": "[]",
        "druid.metadata.storage.type": "derby",
        "druid.metadata.storage.connector.host": host,
        "druid.metadata.storage.connector.port": str(derby),
        "druid.metadata.storage.connector.connectURI": f"jdbc:derby://{host}:{derby}/{folder}/derby;create=true",
        "druid.storage.type": "local",
        "druid.storage.storageDirectory": f"{folder}/segments",
        "druid.indexer.logs.type": "file",
        "druid.indexer.logs.directory": f"{folder}/tasks",
        "druid.emitter": "noop",
        "druid.lookup.enableLookupSyncOnStartup": "false",
        "druid.processing.buffer.sizeBytes": "5MiB",
        "druid.processing.numThreads": "1",
        "druid.processing.numMergeBuffers": "1",
        "druid.server.http.numThreads": "12",
        "druid.broker.http.numConnections": "4",
        "druid.global.http.numConnections": "6",
        **_own(service, folder),
    }


def write_properties(path: Path, service: str, node: Node) -> Path:
    """The settings of one service lie at `path`, as Java reads them."""
    lines = [f"{name}={_escaped(value)}" for name, value in properties(service, node).items()]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _own(service: str, folder: Path) -> Mapping[str, str]:
    match service:
        case "coordinator":
            return {
                "druid.coordinator.asOverlord.enabled": "true",
                "druid.coordinator.asOverlord.overlordService": "druid/overlord",
                "druid.coordinator.startDelay": "PT1S",
                "druid.coordinator.period": "PT1S",
                "druid.manager.segments.pollDuration": "PT1S",
                "druid.indexer.runner.type": "httpRemote",
                "druid.indexer.storage.type": "metadata",
                "druid.indexer.queue.startDelay": "PT0S",
            }
        case "historical":
            cache = [{"path": f"{folder}/cache", "maxSize": "2g"}]
            return {"druid.segmentCache.locations": json.dumps(cache)}
        case "broker":
            return {"druid.sql.planner.metadataRefreshPeriod": "PT1S"}
        case _:
            return {"druid.worker.capacity": "2", "druid.indexer.task.baseDir": f"{folder}/work"}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")


def _healthy(node: Node) -> bool:
    asked = (fetched(node.host, node.ports[service], "/status/health") for service in SERVICES)
    return all(answer is not None and answer.strip() == b"true" for answer in asked)


def _workers(node: Node) -> bool:
    answer = fetched(node.host, node.ports["coordinator"], "/druid/indexer/v1/workers")
    return answer is not None and answer.strip() not in (b"", b"[]")
