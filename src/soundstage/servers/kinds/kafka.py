"""Apache Kafka, from its artifacts for Java: brokers that are their own controllers.

Times and sizes are those of a test: groups, retention and compaction come about in seconds, not in minutes, and a
broker that was killed is let in again at once. Topics are created by who wants them; none comes about by being named.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import MappingProxyType

from soundstage.servers.java import JavaKit, jars, java
from soundstage.servers.kind import Launch, Node, Settings, Standalone, check_plain
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
COPIES_MAX = 3

SESSION_MS, SESSION_SHARED_MS = 1_000, 3_000
"""So long a broker that is not heard of is taken for one that runs: a restarted one waits for it, and with several a
busy machine must not take that long for a heartbeat."""

SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")

# Metadata, version 0, correlation 7, no client name, no topics named; the answer begins with the correlation, and then
# says how many brokers there are.
_QUESTION = bytes.fromhex("0000000e 0003 0000 00000007 ffff 00000000")
_CORRELATION = bytes.fromhex("00000007")

_LOGINS = "org.apache.kafka.common.security"
_START = (
    '[ -f "$0" ] || "$@" kafka.tools.StorageTool format -t {id} -c server.properties{users} || exit;'
    ' exec "$@" kafka.Kafka server.properties'
)
_CONFIGURATION = """process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}{and_login}
advertised.listeners=PLAINTEXT://{host}:{port}{and_told}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:{protocol}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=300
group.consumer.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
broker.session.timeout.ms={session_ms}
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


_ENCRYPTION = """ssl.keystore.type=PEM
ssl.keystore.location={file}
ssl.truststore.type=PEM
ssl.truststore.location={file}
listener.name.login.ssl.client.auth={clients}
"""
_PASSWORDS = """listener.name.login.sasl.enabled.mechanisms=PLAIN,{scram}
listener.name.login.plain.sasl.jaas.config={package}.plain.PlainLoginModule required user_{user}="{password}";
listener.name.login.scram-sha-256.sasl.jaas.config={package}.scram.ScramLoginModule required;
listener.name.login.scram-sha-512.sasl.jaas.config={package}.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{user}
"""


class Kafka(Standalone):
    """One broker, or several; three copies of everything, of which two are enough, where there are three or more.

    The port `login` is there where `tls_pem`, `user` or `advertised` is set. `tls_pem` names a file with a key, as
    PKCS 8, and its certificates: what is spoken there is TLS, and with `tls_clients` `required` a client has to show a
    certificate of the same authority. `user` logs in there with `password`, by PLAIN or SCRAM, and may do everything;
    others who are made later may do nothing until they get a right. Both are letters and digits. `advertised` is the
    host and port that clients of this port are told to come to, as that of a proxy before a single broker. Who comes
    by the first port is not asked.
    """

    name: str = "kafka"
    summary: str = "partitioned logs of events"
    version: str = VERSION
    nodes_max: int = 5
    ports: tuple[str, ...] = ("kafka", "controller", "login")
    settings: Settings = MappingProxyType(
        {
            "heap_mb": "256",
            "tls_pem": "",
            "tls_clients": "none",
            "user": "",
            "password": "secret",
            "advertised": "",
        }
    )
    ready_within_s: float = 120.0
    stop_within_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM

    def install(self, toolbox: Toolbox) -> KafkaKit:
        """See `Kind`. 44 MB of jars, and Java 17 where the system has none."""
        return KafkaKit(java(toolbox), jars(NAME, POM, "kafka.sha256", toolbox))

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`. Each broker lists all of them."""
        listed = _CORRELATION + len(nodes).to_bytes(4)
        return all(answers(node.host, node.port, _QUESTION, listed, skip=4) for node in nodes)


class KafkaKit(JavaKit):
    """See `JavaKit`."""

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`. The first start of a folder formats it."""
        (node.folder / "server.properties").write_text(configuration(node, nodes))
        start = _START.format(id=CLUSTER_ID, users=_users(node.settings))
        marker = f"{node.folder}/data/meta.properties"
        program = (*self.program(node), "-cp", f"{self.lib}/*")
        return Launch(("/bin/sh", "-c", start, marker, *program), self.java.variables)


def configuration(node: Node, nodes: Sequence[Node]) -> str:
    """What a broker is started with. Raises `InvalidArgument` for a user or password with other than plain signs."""
    tls_pem, user, password, told = (node.settings[name] for name in ("tls_pem", "user", "password", "advertised"))
    login = f"{node.host}:{node.ports['login']}" if tls_pem or user or told else ""
    protocol = ("SASL_" if user else "") + ("SSL" if tls_pem else "PLAINTEXT")
    copies = min(COPIES_MAX, len(nodes))
    found = _CONFIGURATION.format(
        number=node.number + 1,
        voters=",".join(f"{each.number + 1}@{each.host}:{each.ports['controller']}" for each in nodes),
        host=node.host,
        port=node.port,
        controller=node.ports["controller"],
        and_login=f",LOGIN://{login}" if login else "",
        and_told=f",LOGIN://{told or login}" if login else "",
        protocol=protocol,
        folder=node.folder,
        copies=copies,
        in_sync=max(1, copies - 1),
        session_ms=SESSION_MS if len(nodes) == 1 else SESSION_SHARED_MS,
    )
    if tls_pem:
        found += _ENCRYPTION.format(file=tls_pem, clients=node.settings["tls_clients"])
    if user:
        check_plain("kafka", user=user, password=password)
        found += _PASSWORDS.format(package=_LOGINS, scram=",".join(SCRAM), user=user, password=password)
    return found


def _users(settings: Settings) -> str:
    user, password = settings["user"], settings["password"]
    return "".join(f" --add-scram '{each}=[name={user},password={password}]'" for each in SCRAM if user)
