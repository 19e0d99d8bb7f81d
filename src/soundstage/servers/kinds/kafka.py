"""Apache Kafka, from its artifacts for Java: one broker that is its own controller.

Times and sizes are those of a test: groups, retention and compaction come about in seconds, not in minutes, and a
broker that was killed is let in again at once. Topics are created by who wants them; none comes about by being named.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import MappingProxyType

from soundstage.servers.java import JavaKit, jars, java
from soundstage.servers.kind import Launch, Node, Settings, Standalone
from soundstage.servers.ports import answers
from soundstage.servers.programs import Toolbox

VERSION = "4.3.1"
LOGGING = "2.25.4"
NAME = f"kafka-{VERSION}"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
<version>{LOGGING}</version></dependency>
</dependencies></project>
"""
CLUSTER_ID = "soundstageKafka000000A"

# Metadata, version 0, correlation 7, no client name, no topics named; the answer begins with the correlation.
_QUESTION = bytes.fromhex("0000000e 0003 0000 00000007 ffff 00000000")
_ANSWER = bytes.fromhex("00000007 00000001")

_START = (
    '[ -f "$0" ] || "$@" kafka.tools.StorageTool format -t {id} -c server.properties || exit;'
    ' exec "$@" kafka.Kafka server.properties'
)
_CONFIGURATION = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=300
group.consumer.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=1000
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.backoff.ms=200
log.retention.check.interval.ms=1000
log.initial.task.delay.ms=500
log.segment.delete.delay.ms=1000
log.index.size.max.bytes=1048576
"""


class Kafka(Standalone):
    """One broker."""

    name: str = "kafka"
    summary: str = "partitioned logs of events"
    version: str = VERSION
    nodes_max: int = 1
    ports: tuple[str, ...] = ("kafka", "controller")
    settings: Settings = MappingProxyType({"heap_mb": "256"})
    ready_within_s: float = 120.0
    stop_within_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM

    def install(self, toolbox: Toolbox) -> KafkaKit:
        """See `Kind`. 44 MB of jars, and Java 17 where the system has none."""
        return KafkaKit(java(toolbox), jars(NAME, POM, "kafka.sha256", toolbox))

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`. The broker lists itself."""
        return all(answers(node.host, node.port, _QUESTION, _ANSWER, skip=4) for node in nodes)


class KafkaKit(JavaKit):
    """See `JavaKit`."""

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`. The first start of a folder formats it."""
        ports = {"port": node.port, "controller": node.ports["controller"]}
        settings = _CONFIGURATION.format(host=node.host, folder=node.folder, **ports)
        (node.folder / "server.properties").write_text(settings)
        start = _START.format(id=CLUSTER_ID)
        marker = f"{node.folder}/data/meta.properties"
        program = (*self.program(node), "-cp", f"{self.lib}/*")
        return Launch(("/bin/sh", "-c", start, marker, *program), self.java.variables)
