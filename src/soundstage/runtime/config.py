"""The stage file as structs: every key with its type, default, unit, bound and meaning.

`soundstage.runtime.stagefile` reads them from TOML, environment and flags; `docs/reference/configuration.md` and
`soundstage config default` are made from the descriptions here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from soundstage.core.namespace import Objective, Quotas
from soundstage.core.size import Size
from soundstage.core.time import Duration
from soundstage.engines.secret import Variable

_NS = 1_000_000_000
_MIB = 1 << 20


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[engines.NAME]`: where data lives. Namespaces bind engines by NAME, so that a move is one line here."""

    url: Annotated[
        str,
        Meta(
            description="`memory:`, `rocksdb:///folder`, `rocksdb:folder` below `data`, `file:…` and "
            "`s3://bucket/prefix` for blobs, `iceberg:folder` for tables, "
            "`host:` for an engine of the process that has the data folder open, "
            "`cassandra://host/keyspace`, `kafka://host` for the log, or a third party's scheme"
        ),
    ]
    durability: Annotated[
        Literal["always", "group", "os"],
        Meta(description="acknowledged means: flushed alone, flushed with others, or given to the operating system"),
    ] = "group"
    cache: Annotated[Size, Meta(description="memory for cached blocks", extra={"bounds": ("1MiB", "1TiB")})] = Size(
        256 * _MIB
    )
    low_water: Annotated[
        Size,
        Meta(
            description="writes other than deletes are refused below this much free disk",
            extra={"bounds": ("0B", "1TiB")},
        ),
    ] = Size(256 * _MIB)
    password_file: Annotated[
        str | None, Meta(description="file whose first line is the engine's password; never put one in `url`")
    ] = None
    password_env: Annotated[
        Variable | None, Meta(description="environment variable that has the engine's password, in place of a file")
    ] = None
    start_within: Annotated[
        Duration,
        Meta(
            description="a stage that starts waits so long for a server that cannot be reached yet",
            extra={"bounds": ("0s", "1h")},
        ),
    ] = Duration(30 * _NS)
    options: Annotated[dict[str, Any], Meta(description="further options of the engine; see its page")] = {}


class NamespaceDeclaration(msgspec.Struct, frozen=True, kw_only=True):
    """`[namespaces.NAME]`: a namespace kept as the file says; changes by API are refused."""

    abstraction: Annotated[str, Meta(description="the system whose data it holds: `kv`, …")]
    engines: Annotated[
        dict[str, str] | None, Meta(description='engine name for each port, such as `{records = "default"}`')
    ] = None
    config: Annotated[dict[str, Any] | None, Meta(description="the abstraction's knobs")] = None
    slos: Annotated[dict[str, Objective] | None, Meta(description="objectives for `read`, `write` or an operation")] = (
        None
    )
    quotas: Annotated[Quotas | None, Meta(description="see `[defaults.quotas]`")] = None


class NamespaceDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """`[defaults]`: what a namespace gets for the parts that its declaration leaves out."""

    engines: Annotated[dict[str, str], Meta(description="engine name for each port; `default` for others")] = {}
    slos: Annotated[dict[str, Objective], Meta(description="objectives for `read`, `write` or an operation")] = {}
    quotas: Quotas = Quotas()


class AuthConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[auth]`: who may call from outside. Callers in process are the owner."""

    mode: Annotated[
        Literal["none", "tokens"],
        Meta(description="`none` serves loopback only; `tokens` wants `Authorization: Bearer`"),
    ] = "none"


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[http.tls]`: certificates, as files in PEM form."""

    certificate: Annotated[str | None, Meta(description="certificate chain; TLS is on when set")] = None
    key: Annotated[str | None, Meta(description="private key; none: it is in `certificate`")] = None
    key_password_file: Annotated[str | None, Meta(description="file whose first line decrypts the key")] = None
    client_ca: Annotated[str | None, Meta(description="callers must show a certificate signed by one of these")] = None


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[http]`: the address of `/v1`, console, health and metrics, and the limits of the protocol."""

    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="0 picks a free one")] = 7777
    metrics_listen: Annotated[
        str | None, Meta(description="`HOST:PORT` of a listener of its own for `/metrics` and health, open to all")
    ] = None
    tls: TlsConfig = TlsConfig()
    insecure: Annotated[bool, Meta(description="serve other hosts without authentication")] = False
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000, description="more are closed at once")] = 20_000
    max_body: Annotated[
        Size, Meta(description="a request's body, after decompression", extra={"bounds": ("1KiB", "1GiB")})
    ] = Size(8 * _MIB)
    max_buffered: Annotated[
        Size,
        Meta(description="bodies of all requests under way; more get `exhausted`", extra={"bounds": ("1MiB", "1TiB")}),
    ] = Size(256 * _MIB)
    max_headers: Annotated[
        Size, Meta(description="all header lines of a request", extra={"bounds": ("1KiB", "1MiB")})
    ] = Size(32 << 10)
    header_timeout: Annotated[
        Duration, Meta(description="from the first byte to the last header line", extra={"bounds": ("10ms", "1h")})
    ] = Duration(10 * _NS)
    body_timeout: Annotated[
        Duration,
        Meta(
            description="from the headers to the body's last byte; of a file or an upload from part to part",
            extra={"bounds": ("10ms", "1h")},
        ),
    ] = Duration(30 * _NS)
    rate_min: Annotated[
        Size,
        Meta(
            description="bytes a second of a file or an upload that must come at least, and be taken of a reply, over "
            "each `body_timeout`; slower peers are left. 0: any number",
            extra={"bounds": ("0B", "1GiB")},
        ),
    ] = Size(1 << 10)
    idle_timeout: Annotated[
        Duration, Meta(description="between two requests of a connection", extra={"bounds": ("10ms", "1h")})
    ] = Duration(75 * _NS)
    drain_timeout: Annotated[
        Duration, Meta(description="how long a stop waits for requests under way", extra={"bounds": ("1ms", "1h")})
    ] = Duration(10 * _NS)


class TelemetryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[telemetry]`: logs, metrics and traces."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="least serious line written")
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"], Meta(description="`auto`: for people on a terminal, JSON otherwise")
    ] = "auto"
    log_calls: Annotated[bool, Meta(description="a line for every call from outside")] = False
    traces: Annotated[
        bool, Meta(description="OpenTelemetry spans; where they go is set by the standard `OTEL_…` variables")
    ] = False


class AdmissionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[admission]`: how much work at once. Over it callers get `exhausted`; nothing queues without bound."""

    in_flight: Annotated[int, Meta(ge=1, le=1_000_000, description="calls of the whole stage at the same time")] = 4_096
    namespace_in_flight: Annotated[
        int, Meta(ge=1, le=1_000_000, description="calls of one namespace at the same time")
    ] = 2_048
    followers: Annotated[
        int, Meta(ge=0, le=1_000_000, description="callers that follow feeds or wait for jobs at the same time")
    ] = 10_000
    streams: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="uploads and downloads at the same time, of which each has about 3 MiB in memory",
        ),
    ] = 64
    share: Annotated[
        float,
        Meta(gt=0, le=1, description="of the quotas of namespaces, what this process lets in; workers share by number"),
    ] = 1.0
    retry_after: Annotated[
        Duration, Meta(description="what a caller over these bounds is told to wait", extra={"bounds": ("1ms", "1h")})
    ] = Duration(_NS // 20)


class ControlConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[control]`: the stage's own records."""

    engine: Annotated[str, Meta(description="name of the records engine that holds the stage's system tables")] = (
        "default"
    )
    poll_interval: Annotated[
        Duration,
        Meta(description="how often changes made by other processes are looked for", extra={"bounds": ("10ms", "1h")}),
    ] = Duration(_NS)
    history_limit: Annotated[int, Meta(ge=1, le=100_000, description="changes kept of each namespace's history")] = (
        1_000
    )
    history_ttl: Annotated[
        Duration, Meta(description="how long changes are kept", extra={"bounds": ("1d", "3650d")})
    ] = Duration(365 * 86_400 * _NS)
    namespaces_limit: Annotated[int, Meta(ge=1, le=100_000, description="namespaces of the stage")] = 10_000
    tokens_limit: Annotated[int, Meta(ge=1, le=1_000_000, description="access tokens of the stage")] = 10_000
    key_rotation: Annotated[
        Duration,
        Meta(description="age at which the key that signs page tokens is replaced", extra={"bounds": ("24h", "365d")}),
    ] = Duration(7 * 86_400 * _NS)
    drain_timeout: Annotated[
        Duration, Meta(description="how long a stop waits for calls under way", extra={"bounds": ("1ms", "1h")})
    ] = Duration(10 * _NS)


class SweeperConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[sweeper]`: the role that removes dead rows once no late write can need them."""

    enabled: Annotated[bool, Meta(description="off: dead rows stay until another process sweeps")] = True
    interval: Annotated[
        Duration, Meta(description="pause between two rounds when nothing is due", extra={"bounds": ("10ms", "1d")})
    ] = Duration(10 * _NS)
    rows_per_round: Annotated[int, Meta(ge=1, le=100_000, description="rows removed before others get their turn")] = (
        500
    )
    rows_per_second: Annotated[int, Meta(ge=1, le=10_000_000, description="long-term rate of removal")] = 20_000


class TablesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[tables]`: the role that keeps columnar tables quick to read and their disk from filling."""

    upkeep: Annotated[bool, Meta(description="off: files and snapshots stay until a program removes them")] = True
    interval: Annotated[
        Duration,
        Meta(description="how often, once for all processes of the stage", extra={"bounds": ("1s", "365d")}),
    ] = Duration(3_600 * _NS)
    compact: Annotated[bool, Meta(description="in each partition, small files become one")] = True
    history_ttl: Annotated[
        Duration, Meta(description="how long a past snapshot can be read", extra={"bounds": ("1m", "3650d")})
    ] = Duration(30 * 86_400 * _NS)
    history_keep: Annotated[
        int, Meta(ge=1, le=10_000, description="so many of the last snapshots of each branch stay, however old")
    ] = 10
    orphan_ttl: Annotated[
        Duration,
        Meta(
            description="how old a file is that no snapshot needs before it goes; longer than any change takes",
            extra={"bounds": ("1h", "3650d")},
        ),
    ] = Duration(86_400 * _NS)


class ComputeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[compute]`: work for the processor, which is kept off the event loop. Over `queued` callers get `exhausted`."""

    threads: Annotated[
        Annotated[int, Meta(ge=1, le=1_024)] | None,
        Meta(description="for work that frees the interpreter; none: one per processor"),
    ] = None
    processes: Annotated[
        Annotated[int, Meta(ge=1, le=1_024)] | None,
        Meta(description="for work that holds the interpreter; none: one per processor"),
    ] = None
    queued: Annotated[int, Meta(ge=0, le=1_000_000, description="pieces of work that wait, of each kind")] = 256


class FilesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[files]`: files that callers send and jobs leave, at `/v1/blobs`."""

    engine: Annotated[str, Meta(description="name of the blobs engine that holds them")] = "blobs"
    size_max: Annotated[Size, Meta(description="a file", extra={"bounds": ("1KiB", "1TiB")})] = Size(16 << 30)
    quota: Annotated[
        Size, Meta(description="all files together; more get `exhausted`", extra={"bounds": ("1KiB", "1024TiB")})
    ] = Size(256 << 30)
    ttl: Annotated[
        Duration,
        Meta(description="how long a file is kept that nothing else asks for", extra={"bounds": ("1m", "3650d")}),
    ] = Duration(7 * 86_400 * _NS)


class JobsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[jobs]`: how many jobs at once, and how long they are remembered."""

    running: Annotated[int, Meta(ge=0, le=1_000, description="jobs at once in this process; 0: it runs none")] = 4
    running_in_all: Annotated[
        int, Meta(ge=1, le=1_000, description="jobs at once in all processes of the stage together")
    ] = 64
    per_operation: Annotated[
        dict[str, Annotated[int, Meta(ge=1, le=1_000)]],
        Meta(description='jobs of one operation at once in all processes, such as `{"namespaces/export" = 2}`'),
    ] = {}
    queued: Annotated[
        int, Meta(ge=1, le=100_000, description="jobs that wait or run, of the whole stage; more get `exhausted`")
    ] = 10_000
    attempts: Annotated[
        int, Meta(ge=1, le=1_000, description="how often a job is begun whose process keeps dying, before it fails")
    ] = 5
    lease: Annotated[
        Duration,
        Meta(
            description="how long the jobs of a process that died wait for another",
            extra={"bounds": ("100ms", "1h")},
        ),
    ] = Duration(10 * _NS)
    poll_interval: Annotated[
        Duration,
        Meta(description="how often jobs of other processes are looked for", extra={"bounds": ("10ms", "1h")}),
    ] = Duration(_NS)
    history_ttl: Annotated[
        Duration, Meta(description="how long ended jobs are remembered", extra={"bounds": ("1m", "3650d")})
    ] = Duration(30 * 86_400 * _NS)


class ProcessesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[processes]`: which roles run, and in how many processes."""

    roles: Annotated[
        list[str] | None,
        Meta(description="roles to run, such as `http`, `doors`, `jobs`, `sweeper`; none: all of them"),
    ] = None
    workers: Annotated[
        dict[str, Annotated[int, Meta(ge=1, le=256)]],
        Meta(description="roles with child processes of their own, and how many each, such as `{http = 2}`"),
    ] = {}
    shared: Annotated[
        bool, Meta(description="offer the engines to other processes of this user, by `host:`, without workers too")
    ] = False
    lease: Annotated[
        Duration,
        Meta(description="how long what a dead process did waits for another", extra={"bounds": ("100ms", "1h")}),
    ] = Duration(10 * _NS)
    restarts: Annotated[
        int, Meta(ge=0, le=10_000, description="how often in a row a worker that ends is started again")
    ] = 10

    def runs(self, role: str) -> bool:
        """Whether this process runs the role itself; what every process does, it does whatever is chosen."""
        return role == "control" or ((self.roles is None or role in self.roles) and role not in self.workers)


class StageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole stage file."""

    data: Annotated[
        str, Meta(description="folder of the embedded engines; `memory:` keeps everything in memory and forgets it")
    ] = "./soundstage-data"
    output: Annotated[
        Literal["table", "json", "jsonl"],
        Meta(description="what `up` prints: lines for people, or an object per event and the line that says `ready`"),
    ] = "table"
    engines: dict[str, EngineConfig] = {}
    namespaces: dict[str, NamespaceDeclaration] = {}
    defaults: NamespaceDefaults = NamespaceDefaults()
    systems: Annotated[dict[str, dict[str, Any]], Meta(description="knobs that all namespaces of a system share")] = {}
    doors: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="`[doors.NAME]`: protocols of others, by which the stage is reached; see their pages"),
    ] = {}
    auth: AuthConfig = AuthConfig()
    http: HttpConfig = HttpConfig()
    admission: AdmissionConfig = AdmissionConfig()
    control: ControlConfig = ControlConfig()
    sweeper: SweeperConfig = SweeperConfig()
    tables: TablesConfig = TablesConfig()
    compute: ComputeConfig = ComputeConfig()
    files: FilesConfig = FilesConfig()
    jobs: JobsConfig = JobsConfig()
    processes: ProcessesConfig = ProcessesConfig()
    telemetry: TelemetryConfig = TelemetryConfig()


MEMORY = "memory:"


BLOBS = "blobs"
"""The name of the engine that holds files, unless `files.engine` names another."""


def default_url(name: str, data: str) -> str:
    """Where the engine `name`, one of the two that need no line of their own, has its data."""
    return MEMORY if data == MEMORY else {"default": "rocksdb:records", BLOBS: "file:blobs"}[name]


def with_default_engines(config: StageConfig) -> StageConfig:
    """`config` with an engine named `default` and one named `blobs` in the data folder, unless it has them."""
    ours = {name: default_url(name, config.data) for name in ("default", BLOBS)}
    if config.files.engine != BLOBS:
        del ours[BLOBS]
    missing = {name: EngineConfig(url=url) for name, url in ours.items() if name not in config.engines}
    return msgspec.structs.replace(config, engines={**missing, **config.engines}) if missing else config
