"""A cluster: one or more nodes of one kind, planned, started together and waited for."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from soundstage.core.environment import Environment, SystemEnvironment
from soundstage.core.errors import DeadlineExceeded, InvalidArgument, Unavailable
from soundstage.core.names import nearest
from soundstage.servers.catalogue import find
from soundstage.servers.kind import FILE_ENDING, Kind, Node, Settings
from soundstage.servers.ports import free_port, is_free
from soundstage.servers.programs import Toolbox
from soundstage.servers.server import Server
from soundstage.servers.shelf import Note, Shelf

POLL_S = 0.05
LOG_LINES = 12


class Cluster:
    """Servers of one kind that end with this process; use as a context manager.

        with Cluster("memcached", nodes=2) as cluster:
            cluster.url, cluster.servers[0].kill()

    `kind` is a name or a kind of your own. Installs what is missing on the way in. Without `folder` its files are
    temporary and gone on the way out. `port` 0 picks free ones; another is the first node's, and the next nodes'
    follow it.
    """

    def __init__(
        self,
        kind: str | Kind,
        *,
        nodes: int = 1,
        folder: Path | None = None,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        shelf: Shelf | None = None,
        note: Note | None = None,
        environment: Environment | None = None,
    ) -> None:
        self.kind: Kind = find(kind) if isinstance(kind, str) else kind
        self.settings: Settings = settled(self.kind, settings or {})
        self._count = counted(self.kind, nodes)
        self._environment: Environment = environment or SystemEnvironment()
        self._shelf = shelf or Shelf()
        self._note: Note = note or _unheard
        self._given = folder
        self._port = port
        self._made: Path | None = None
        self.servers: tuple[Server, ...] = ()

    def __enter__(self) -> Cluster:
        try:
            self.start()
            self.ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Where the servers are; empty before the first start."""
        return tuple(server.node for server in self.servers)

    @property
    def url(self) -> str:
        """How clients reach it; `Kind` says what of it goes into `[engines.NAME] url`."""
        return self.kind.url(self.nodes)

    def start(self) -> None:
        """Every node's process runs; those that did are left alone. Not ready yet: see `ready`."""
        if not self.servers:
            self._plan()
        for server in self.servers:
            server.start()

    def ready(self, within_s: float | None = None) -> None:
        """All nodes answer and work together.

        Raises `Unavailable` with the end of its log when a node's process has ended, and `DeadlineExceeded` after
        `within_s`, by default what the kind allows.
        """
        wait_ready(self.kind, self.nodes, self._look, within_s)

    def restart(self) -> None:
        """All nodes were killed, run again and are ready, with what they had on disk."""
        for server in self.servers:
            server.kill()
        self.start()
        self.ready()

    def close(self) -> None:
        """Every node was asked to end and has; temporary files are gone."""
        for server in self.servers:
            server.ask_to_end()
        for server in self.servers:
            server.stop()
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
            self._made, self.servers = None, ()

    def _plan(self) -> None:
        kit = self.kind.install(Toolbox(self._shelf, self._note, self._environment))
        if self._given is None:
            self._made = Path(tempfile.mkdtemp(prefix=f"soundstage-{self.kind.name}-"))
        folder = self._given or self._made or Path()
        nodes = plan(self.kind, self._count, folder, self._port, self.settings, self._environment)
        self.servers = tuple(Server(node, nodes, kit, self.kind) for node in nodes)

    def _look(self) -> None:
        for server in self.servers:
            if not server.running:
                raise ended(self.kind, server.node, server.logs(LOG_LINES))


def plan(
    kind: Kind, count: int, folder: Path, port: int, settings: Settings, environment: Environment
) -> tuple[Node, ...]:
    """The nodes of a cluster below `folder`, whose folders are there; raises `Unavailable` where `port` is taken."""
    hosts = [kind.host(number) for number in range(count)]
    together = len(set(hosts)) == count > 1
    taken: set[int] = set()
    common: dict[str, int] = {}
    nodes: list[Node] = []
    for number, host in enumerate(hosts):
        ports: dict[str, int] = {}
        for position, name in enumerate(kind.ports):
            if position == 0 and port:
                ports[name] = _wanted(host, port if together else port + number)
                taken.add(ports[name])
            elif together and name in common and name not in kind.own_ports:
                ports[name] = common[name]
            else:
                ports[name] = free_port(sorted(set(hosts)), environment.random, taken)
        common = common or ports
        place = folder / f"node{number}"
        place.mkdir(parents=True, exist_ok=True)
        nodes.append(Node(number, place, host, ports, settings))
    return tuple(nodes)


def wait_ready(kind: Kind, nodes: Sequence[Node], look: Callable[[], None], within_s: float | None) -> None:
    """`kind` says that `nodes` are ready; `look` is called before each question and may raise."""
    patience = kind.ready_within_s if within_s is None else within_s
    limit = time.monotonic() + patience
    while True:
        look()
        if kind.ready(nodes):
            return
        if time.monotonic() > limit:
            raise DeadlineExceeded(
                f"{kind.name} was not ready within {patience:g} s",
                hint="look at its logs; a machine under load may need longer",
                retryable=True,
            )
        time.sleep(POLL_S)


def ended(kind: Kind, node: Node, log: str) -> Unavailable:
    """The refusal for a node whose process is gone, with the last it printed."""
    return Unavailable(f"node {node.number} of {kind.name} has ended; its last lines:\n{log}", retryable=False)


def settled(kind: Kind, wanted: Mapping[str, str]) -> Settings:
    """The kind's settings with those of `wanted`, of which files are named by their whole paths.

    Raises `InvalidArgument` for one that the kind has not, and for a file that is not there.
    """
    for name in wanted:
        if name not in kind.settings:
            close = nearest(name, kind.settings)
            known = ", ".join(sorted(kind.settings)) or "none"
            hint = f"did you mean {close!r}?" if close else f"it has: {known}"
            raise InvalidArgument(f"{kind.name} has no setting {name!r}", hint=hint, field="settings")
    return {**kind.settings, **{name: _whole(kind, name, text) for name, text in wanted.items()}}


def counted(kind: Kind, nodes: int) -> int:
    """`nodes`, if the kind can have so many."""
    if not 1 <= nodes <= kind.nodes_max:
        raise InvalidArgument(
            f"{kind.name} runs with 1 to {kind.nodes_max} nodes here, not with {nodes}", field="nodes"
        )
    return nodes


def _whole(kind: Kind, name: str, text: str) -> str:
    """`text`; where it names a file, as it is found from the server's folder too."""
    if not name.endswith(FILE_ENDING) or not text:
        return text
    path = os.path.abspath(os.path.expanduser(text))
    if not os.path.isfile(path):
        raise InvalidArgument(f"{kind.name}'s setting {name} names {path}, which is no file", field="settings")
    return path


def _wanted(host: str, port: int) -> int:
    if not is_free(host, port):
        hint = "stop what listens there, or use port 0"
        raise Unavailable(f"port {port} of {host} is taken", hint=hint, retryable=False)
    return port


def _unheard(_: str) -> None:
    """Progress that nobody watches."""
