"""A connection to a cluster: its pools, its prepared statements, and who else uses it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
import threading
from collections import Counter
from typing import Any, NamedTuple

from soundstage.core.errors import SoundstageError
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.driver import auth, cluster, policies, query, token_of
from soundstage.engines.records.cassandra.failures import failure
from soundstage.engines.records.cassandra.options import Address
from soundstage.engines.records.cassandra.routing import any_replica
from soundstage.engines.secret import secret_from
from soundstage.engines.tls import client_context

PROTOCOL = 5
RECONNECT_FIRST_S, RECONNECT_LAST_S = 0.2, 5.0


class Settings(NamedTuple):
    """How the cluster itself is set, where it matters here."""

    paxos: str
    nodes: int


class _Wish:
    """To hold a connection, for as long as somebody waits for it. Both ends see who came first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = self._withdrawn = False

    def fulfil(self) -> bool:
        """It is held; false where nobody waits any more."""
        with self._lock:
            self._held = not self._withdrawn
            return self._held

    def withdraw(self) -> bool:
        """Nobody waits any more; true where it is held already."""
        with self._lock:
            self._withdrawn = True
            return self._held


class Link:
    """Opened by the first engine that takes it and closed by the last that gives it back.

    The driver's calls that block run in a thread; all others answer through a `Bridge`.
    """

    def __init__(self, address: Address) -> None:
        self.address: Address = address
        self.settings: Settings = Settings("", 0)
        self.session: Any = None
        self._cluster: Any = None
        self._nearest: Any = None
        self._prepared: dict[str, Any] = {}
        self._users = 0
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        """The data centre whose nodes are asked; empty before the first connection, if no option names it."""
        found = self.address.options.local_dc if self._nearest is None else self._nearest.local_dc
        return found or ""

    async def take(self) -> None:
        """The cluster is connected, the keyspace there. Raises the tree's errors only.

        Who is cancelled meanwhile holds nothing: the thread goes on, and what it took is given back.
        """
        wish = _Wish()
        try:
            await _in_thread(self._hold_for, wish)
        except asyncio.CancelledError:
            if wish.withdraw():
                asyncio.get_running_loop().run_in_executor(None, self.let_go)
            raise

    async def give_back(self) -> None:
        """One user less; the last closes the connections."""
        await _in_thread(self.let_go)

    async def prepare(self, *statements: str) -> list[Any]:
        """Prepared statements, each made once."""
        if not all(each in self._prepared for each in statements):
            await _in_thread(self._prepare, statements)
        return [self._prepared[each] for each in statements]

    async def change_schema(self, statement: str) -> None:
        """The statement is carried out and all nodes agree on what the tables are."""
        await _in_thread(self._change_schema, statement)

    def hold(self) -> None:
        """The same as `take`, for who has no event loop; raises the driver's errors too."""
        with self._lock:
            if self._users == 0:
                self._connect()
            self._users += 1

    def let_go(self) -> None:
        """The same as `give_back`."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._shut()

    def _hold_for(self, wish: _Wish) -> None:
        self.hold()
        if not wish.fulfil():
            self.let_go()

    def _connect(self) -> None:
        options = self.address.options
        self._nearest = policies.DCAwareRoundRobinPolicy(local_dc=options.local_dc or "")
        routing = any_replica(self._nearest)
        profile = cluster.ExecutionProfile(
            load_balancing_policy=routing,
            retry_policy=policies.FallthroughRetryPolicy(),
            row_factory=query.tuple_factory,
            request_timeout=options.attempt_s,
        )
        _silence()
        self._cluster = cluster.Cluster(
            contact_points=list(self.address.hosts),
            port=self.address.port,
            protocol_version=PROTOCOL,
            auth_provider=_credentials(self.address),
            ssl_context=_tls(self.address),
            ssl_options=server_name(self.address),
            execution_profiles={cluster.EXEC_PROFILE_DEFAULT: profile},
            reconnection_policy=reconnection(),
            connect_timeout=options.attempt_s,
            control_connection_timeout=options.attempt_s,
            max_schema_agreement_wait=options.start_s,
            idle_heartbeat_interval=5,
            idle_heartbeat_timeout=5,
        )
        try:
            self.session = self._cluster.connect()
            # Every read has a limit of its own; the driver's would cut its answer without a word.
            self.session.default_fetch_size = None
            self.settings = self._settings()
            schema.make_keyspace(self.session, self.address, self._cluster.metadata)
            self.session.set_keyspace(self.address.keyspace)
            for statement in schema.shared_tables(self.address.keyspace):
                self._change_schema(statement)
        except Exception:
            self._shut()
            raise

    def _settings(self) -> Settings:
        asked = "SELECT name, value FROM system_views.settings WHERE name = 'paxos_variant'"
        rows = self.session.execute(asked, timeout=self.address.options.start_s).all()
        return Settings(dict(rows).get("paxos_variant", ""), len(self._cluster.metadata.all_hosts()))

    def _prepare(self, statements: tuple[str, ...]) -> None:
        with self._lock:
            for statement in statements:
                if statement not in self._prepared:
                    self._prepared[statement] = self.session.prepare(statement)

    def _change_schema(self, statement: str) -> None:
        request = self.session.execute_async(statement, timeout=self.address.options.start_s)
        request.result()
        if not request.is_schema_agreed:
            raise schema.disagreement()

    def _shut(self) -> None:
        self._prepared.clear()
        self.session = None
        if self._cluster is not None:
            self._cluster.shutdown()
            self._cluster = None

    def nodes(self) -> dict[str, bool]:
        """The nodes that are known, by their addresses, and whether each answers."""
        if self._cluster is None:
            return {}
        # What has not been tried yet is not known to be down.
        return {str(host.endpoint): host.is_up is not False for host in self._cluster.metadata.all_hosts()}

    def copies_missing(self) -> str | None:
        """Where the keyspace has fewer copies of each row than were asked for and there are nodes for."""
        if self._cluster is None:
            return None
        keyspace: Any = self._cluster.metadata.keyspaces.get(self.address.keyspace)
        strategy: Any = None if keyspace is None else keyspace.replication_strategy
        by_centre: dict[str, int] = getattr(strategy, "dc_replication_factors", {})
        nodes = Counter(host.datacenter for host in self._cluster.metadata.all_hosts())
        for centre, copies in sorted(by_centre.items()):
            wanted = min(self.address.options.replication, nodes[centre])
            if int(copies) < wanted:
                return f"{self.address.keyspace} has {copies} of {wanted} copies of each row in {centre}"
        return None

    def grace_s(self, place: str) -> int:
        """How long Cassandra keeps tombstones of a table; a table not known yet keeps them for as long as any."""
        keyspace = self._cluster.metadata.keyspaces.get(self.address.keyspace)
        table = None if keyspace is None else keyspace.tables.get(place)
        return schema.grace_s(0) if table is None else int(table.options["gc_grace_seconds"])

    def token(self, number: int, partition: bytes) -> int:
        """Where a partition is on the ring."""
        parts = (number.to_bytes(4, "big", signed=True), partition)
        return token_of(b"".join(len(part).to_bytes(2, "big") + part + b"\0" for part in parts))


def reconnection() -> Any:
    """When a node that is gone is looked for: soon at first, then every few seconds, for as long as it takes."""
    return policies.ExponentialReconnectionPolicy(RECONNECT_FIRST_S, RECONNECT_LAST_S, max_attempts=None)


async def _in_thread(work: Any, *values: Any) -> None:
    """`work` is done in a thread; its errors are of the tree."""
    try:
        await asyncio.get_running_loop().run_in_executor(None, work, *values)
    except SoundstageError:
        raise
    except Exception as error:
        raise failure(error, reading=True).error from error


def _credentials(address: Address) -> Any:
    options = address.options
    if options.user is None:
        return None
    return auth.PlainTextAuthProvider(options.user, secret_from(options.password_file, options.password_env))


def _tls(address: Address) -> ssl.SSLContext | None:
    options = address.options
    if options.tls_ca is None:
        return None
    return client_context(options.tls_ca, options.tls_cert, options.tls_key, names=options.tls_names)


def server_name(address: Address) -> dict[str, str] | None:
    """Which host certificates must name; None: each node the address that it is asked at."""
    options = address.options
    if options.tls_ca is None or not options.tls_names:
        return None
    name = options.tls_server_name
    if name is None and len(address.hosts) == 1 and not _is_address(address.hosts[0]):
        # The driver knows nodes by their addresses alone.
        name = address.hosts[0]
    return None if name is None else {"server_hostname": name}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _silence() -> None:
    """The driver logs each node that is down again and again; who asks gets a typed error."""
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
