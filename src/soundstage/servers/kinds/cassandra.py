"""Apache Cassandra, from its artifacts for Java: one node, or a ring of several from 127.0.0.1 on.

The settings trade what a test does not need, memory, start-up time and compactions, and keep what clients see.
`commitlog_sync: batch` stays, since the usual `periodic` loses acknowledged writes when the process is killed;
with `skip_sync` nothing is flushed to the disk itself, so a power cut may still take writes.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import MappingProxyType

from soundstage.core.errors import InvalidArgument
from soundstage.servers.java import QUICK, JavaKit, jars, java
from soundstage.servers.kind import Launch, Node, Settings
from soundstage.servers.kinds.cql import Session
from soundstage.servers.programs import Toolbox

VERSION = "5.0.9"
NAME = f"cassandra-{VERSION}"
POM = f"""<project><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>cassandra</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency>
<groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>{VERSION}</version>
</dependency></dependencies></project>
"""
RING = 1 << 64

_EXPORTS = (
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.attach/sun.tools.attach",
)
_OPENED = (
    *(f"java.base/jdk.internal.{name}" for name in ("loader", "math", "module", "ref", "reflect", "util.jar")),
    *(f"java.base/{name}" for name in ("java.io", "java.lang", "java.lang.module", "java.lang.reflect", "java.util")),
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
    "jdk.compiler/com.sun.tools.javac",
)
_OPTIONS = (
    "-ea",
    "-da:net.openhft...",
    "-Xss256k",
    *QUICK,
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:+PerfDisableSharedMem",
    "-Djava.net.preferIPv4Stack=true",
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dcassandra-foreground=yes",
    "-Dcassandra.shutdown_announce_in_ms=0",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=1000",
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Dcassandra.size_recorder_interval=5",
)
_LOGGING = """<configuration><appender name="A" class="ch.qos.logback.core.ConsoleAppender">
<encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="A"/></root></configuration>
"""
_CONFIGURATION = """cluster_name: soundstage
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: GossipingPropertyFileSnitch
num_tokens: 1
initial_token: {token}
auto_bootstrap: false
listen_address: {host}
rpc_address: {host}
storage_port: {storage}
native_transport_port: {cql}
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "{seeds}"}}]
authenticator: {authenticator}
commitlog_sync: batch
commitlog_segment_size: 16MiB
commitlog_total_space: 256MiB
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
file_cache_size: 64MiB
key_cache_size: 8MiB
counter_cache_size: 4MiB
networking_cache_size: 16MiB
concurrent_reads: 16
concurrent_writes: 16
concurrent_compactors: 1
auto_snapshot: false
paxos_variant: v2
paxos_state_purging: repaired
tombstone_failure_threshold: {tombstones}
"""

_ENCRYPTION = """client_encryption_options:
  enabled: true
  optional: true
  require_client_auth: false
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
  keystore: {file}
  truststore: {file}
"""


class Cassandra:
    """A ring in one data centre, `datacenter1`. With `authenticator` PasswordAuthenticator: cassandra, cassandra.

    With `data_centres` more than one its nodes are dealt out to `datacenter1`, `datacenter2` and so on in turn.
    `tls_pem` names a file with a key, as PKCS 8, and its certificates: clients may then use TLS at the same port.
    """

    name: str = "cassandra"
    summary: str = "wide rows, spread and replicated"
    version: str = VERSION
    nodes_max: int = 5
    ports: tuple[str, ...] = ("cql", "storage", "jmx")
    own_ports: tuple[str, ...] = ("jmx",)
    settings: Settings = MappingProxyType(
        {
            "heap_mb": "512",
            "authenticator": "AllowAllAuthenticator",
            "data_centres": "1",
            "skip_sync": "true",
            "tombstone_failure_threshold": "100000",
            "tls_pem": "",
        }
    )
    ready_within_s: float = 180.0
    stop_within_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM

    def install(self, toolbox: Toolbox) -> CassandraKit:
        """See `Kind`. 67 MB of jars, and Java 17 where the system has none."""
        return CassandraKit(java(toolbox), jars(NAME, POM, "cassandra.sha256", toolbox))

    def host(self, number: int) -> str:
        """An address for each node."""
        return f"127.0.0.{number + 1}"

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`. Open ports are not yet a ring: each node must know all others and the same tables."""
        schemas: set[bytes | None] = set()
        for node in nodes:
            try:
                with Session(node.host, node.port) as session:
                    peers = session.query("SELECT native_address, host_id, data_center, rack FROM system.peers_v2")
                    gossip = session.query("SELECT status_with_port FROM system_views.gossip_info")
                    schemas.update(row[0] for row in session.query("SELECT schema_version FROM system.local"))
            except OSError:
                return False
            normal = sum((row[0] or b"").startswith(b"NORMAL") for row in gossip)
            # Of a peer that has just come a node tells clients bit by bit, and they take no notice of it until then.
            known = sum(None not in peer for peer in peers)
            if known != len(nodes) - 1 or normal != len(nodes):
                return False
        return len(schemas) == 1

    def url(self, nodes: Sequence[Node]) -> str:
        """See `Kind`. The keyspace is the caller's to add: `/NAME`."""
        return "cassandra://" + ",".join(node.address for node in nodes)


class CassandraKit(JavaKit):
    """See `JavaKit`. Cassandra has its own options and logging."""

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`."""
        for name in ("data", "tmp"):
            (node.folder / name).mkdir(exist_ok=True)
        (node.folder / "cassandra.yaml").write_text(configuration(node, nodes))
        (node.folder / "rackdc.properties").write_text(f"dc=datacenter{_centre(node)}\nrack=rack1\n")
        (node.folder / "logback.xml").write_text(_LOGGING)
        (node.folder / "java.options").write_text("\n".join((*_OPTIONS, *_access())))
        agent = (f"-javaagent:{next(self.lib.glob('jamm-*.jar'))}",)
        daemon = self._main("service.CassandraDaemon")
        return Launch((*self._java(node), *agent, *_own_options(node), *daemon), self.java.variables)

    def nodetool(self, node: Node, *words: str) -> Launch:
        """What runs `nodetool WORDS` on a node that is up; takes most of a second."""
        where = ("-h", "127.0.0.1", "-p", str(node.ports["jmx"]))
        quiet = (f"-Duser.home={node.folder}", "-Dcassandra.storagedir=/dev/null", "-Dlogback.configurationFile=none")
        return Launch((*self._java(node), *quiet, *self._main("tools.NodeTool"), *where, *words), self.java.variables)

    def _java(self, node: Node) -> tuple[str, ...]:
        return (str(self.java.path), f"@{node.folder}/java.options")

    def _main(self, name: str) -> tuple[str, ...]:
        return ("-cp", f"{self.lib}/*", f"org.apache.cassandra.{name}")


def configuration(node: Node, nodes: Sequence[Node]) -> str:
    """The node's cassandra.yaml: tokens at equal distances, every node a seed."""
    tls_pem = node.settings["tls_pem"]
    text = _CONFIGURATION.format(
        token=node.number * RING // len(nodes) - RING // 2,
        host=node.host,
        storage=node.ports["storage"],
        cql=node.ports["cql"],
        seeds=",".join(f"{each.host}:{each.ports['storage']}" for each in nodes),
        authenticator=node.settings["authenticator"],
        tombstones=node.settings["tombstone_failure_threshold"],
    )
    return text + _ENCRYPTION.format(file=tls_pem) if tls_pem else text


def _centre(node: Node) -> int:
    """Which data centre a node is in, from 1 on."""
    centres = node.settings["data_centres"]
    if not centres.isdecimal() or int(centres) < 1:
        raise InvalidArgument(f"{centres} is no number of data centres", field="settings", hint="use 1, 2 or more")
    return node.number % int(centres) + 1


def _own_options(node: Node) -> tuple[str, ...]:
    return (
        "-Xms96m",
        f"-Xmx{node.settings['heap_mb']}m",
        f"-Dcassandra.config=file://{node.folder}/cassandra.yaml",
        f"-Dcassandra-rackdc.properties=file://{node.folder}/rackdc.properties",
        f"-Dlogback.configurationFile=file://{node.folder}/logback.xml",
        f"-Dcassandra.storagedir={node.folder}/data",
        f"-Dcassandra.logdir={node.folder}",
        f"-Djava.io.tmpdir={node.folder}/tmp",
        f"-Dcassandra.jmx.local.port={node.ports['jmx']}",
        f"-Dcassandra.skip_sync={node.settings['skip_sync']}",
    )


def _access() -> list[str]:
    return [
        *(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS),
        *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENED),
    ]
