"""What a kind of server is: how it is brought, what its nodes are started with, when they are ready."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeAlias

from soundstage.core.errors import InvalidArgument
from soundstage.servers.programs import Toolbox

Settings: TypeAlias = Mapping[str, str]

FILE_ENDING = "_pem"
"""Ends the names of settings that name a file; it may be given by its path from wherever `up` is said."""


@dataclass(frozen=True)
class Node:
    """One server of a cluster, as it is or will be started.

    `number` counts from 0, `ports` is by the names that the kind gives them, `settings` are the cluster's.
    """

    number: int
    folder: Path
    host: str
    ports: Mapping[str, int]
    settings: Settings = field(default_factory=dict[str, str])

    @property
    def address(self) -> str:
        """Host and port for clients."""
        return f"{self.host}:{self.port}"

    @property
    def port(self) -> int:
        """The port for clients, which is the first."""
        return next(iter(self.ports.values()))


@dataclass(frozen=True)
class Launch:
    """What starts one node, after its files have been written."""

    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


class Kit(Protocol):
    """A kind as it is installed on this machine."""

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """What starts `node` of the cluster `nodes`; its configuration has been written below its folder."""
        ...


class Kind(Protocol):
    """A kind of server. Objects of it hold nothing but what is written in their class."""

    name: str
    summary: str
    version: str
    """What is started, as exactly as this package decides it."""
    nodes_max: int
    ports: tuple[str, ...]
    """Names of the ports that a node listens on; the first is the clients'."""
    own_ports: tuple[str, ...]
    """Those of `ports` that differ between nodes even where each node has a host of its own."""
    settings: Settings
    """What may be set, each with the value it has otherwise; one whose name ends in `FILE_ENDING` names a file."""
    ready_within_s: float
    stop_within_s: float
    stop_signal: signal.Signals
    """What asks a node to end."""

    def install(self, toolbox: Toolbox) -> Kit:
        """It can be started; brought from package registries where it was not there."""
        ...

    def host(self, number: int) -> str:
        """The loopback address of a node."""
        ...

    def ready(self, nodes: Sequence[Node]) -> bool:
        """Whether all `nodes` answer and work together; asked a few times a second, takes at most about one."""
        ...

    def url(self, nodes: Sequence[Node]) -> str:
        """How clients reach it."""
        ...


class Standalone:
    """What most kinds have in common: nodes that know nothing of each other, on 127.0.0.1."""

    name: str
    nodes_max: int = 8
    own_ports: tuple[str, ...] = ()
    settings: Settings = MappingProxyType[str, str]({})
    ready_within_s: float = 60.0
    stop_within_s: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM

    def host(self, number: int) -> str:
        """The loopback address, whatever the number."""
        return "127.0.0.1"

    def url(self, nodes: Sequence[Node]) -> str:
        """The addresses of all nodes, after the kind's name."""
        return f"{self.name}://" + ",".join(node.address for node in nodes)


def check_plain(kind: str, **settings: str) -> None:
    """Raise `InvalidArgument` where one of `settings`, by name, is anything but letters and digits."""
    for name, text in settings.items():
        if not (text.isascii() and text.isalnum()):
            raise InvalidArgument(f"{kind}'s setting {name} is to be letters and digits", field="settings")
