"""Servers that outlive the command that started them: what `soundstage servers up` leaves behind.

    <folder>/running/<kind>/state.json   the nodes: processes, ports, settings; written before they are ready
    <folder>/running/<kind>/nodeN/       what a node wrote, kept by `down` for the next `up`

A process is known by its number and the moment it started, so that a number given to another is not taken for it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from soundstage.core.environment import Environment, SystemEnvironment
from soundstage.core.errors import AlreadyExists, DataLoss, NotFound
from soundstage.servers.catalogue import KINDS, find
from soundstage.servers.cluster import LOG_LINES, counted, ended, plan, settled, wait_ready
from soundstage.servers.family import Process, gone, kill, signal_group, started_at
from soundstage.servers.kind import Kind, Kit, Node
from soundstage.servers.programs import Toolbox
from soundstage.servers.server import LOG_NAME, tail
from soundstage.servers.shelf import Note, Shelf

STATE_NAME = "state.json"
KILLED_WITHIN_S = 10.0


class Standing(msgspec.Struct, frozen=True):
    """What `up` started: the kind's name, its nodes and their processes, in order."""

    kind: str
    url: str
    settings: dict[str, str]
    hosts: list[str]
    ports: list[dict[str, int]]
    processes: list[Process]


class Site:
    """The servers that stand on one shelf, at most one cluster of each kind."""

    def __init__(self, shelf: Shelf | None = None, environment: Environment | None = None) -> None:
        self.shelf: Shelf = shelf or Shelf()
        self._environment: Environment = environment or SystemEnvironment()

    def folder(self, kind: str) -> Path:
        """Where the nodes of a kind keep what they write."""
        return self.shelf.folder / "running" / kind

    def up(
        self, name: str, *, nodes: int = 1, port: int = 0, settings: Mapping[str, str] | None = None, note: Note
    ) -> Standing:
        """The cluster runs and is ready, and stays when this process ends.

        Raises `AlreadyExists` when it runs. What an earlier one left on disk is used again if it had as many nodes and
        `port` is 0 or the same; else it is deleted.
        """
        kind = find(name)
        chosen = settled(kind, settings or {})
        kit = kind.install(Toolbox(self.shelf, note, self._environment))
        with self.shelf.locked(f"up-{name}", lambda: note(f"waiting for another that starts {name}")):
            before = self.state(name)
            if before is not None and any(process.running for process in before.processes):
                raise AlreadyExists(f"{name} is up at {before.url}", hint=f"soundstage servers down {name} ends it")
            planned = self._planned(kind, counted(kind, nodes), port, chosen, before)
            return self._started(kind, kit, planned, note)

    def down(self, name: str, *, forget: bool = False) -> bool:
        """No process of it runs; whether one did. With `forget` its data, logs and ports are gone too."""
        kind = find(name)
        state = self.state(name)
        found = [] if state is None else [process for process in state.processes if process.running]
        for process in found:
            signal_group(process.pid, signal.SIGCONT)
            signal_group(process.pid, kind.stop_signal)
        _end(found, kind.stop_within_s)
        if forget:
            shutil.rmtree(self.folder(name), ignore_errors=True)
        return bool(found)

    def state(self, name: str) -> Standing | None:
        """What the last `up` started, running or not. Raises `DataLoss` when its file is damaged."""
        path = self.folder(find(name).name) / STATE_NAME
        try:
            return msgspec.json.decode(path.read_bytes(), type=Standing)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise DataLoss(f"{path} cannot be read: {error}", hint="end its processes by hand and delete it") from error

    def states(self) -> list[Standing]:
        """Those of all kinds, by name."""
        return [state for kind in KINDS if (state := self.state(kind.name)) is not None]

    def logs(self, name: str, lines: int) -> list[tuple[int, str]]:
        """The last `lines` that each node printed, by its number. Raises `NotFound` when none was ever up."""
        state = self.state(name)
        if state is None:
            raise NotFound(f"{name} was never up", hint=f"soundstage servers up {name} starts it")
        folder = self.folder(name)
        return [(number, tail(folder / f"node{number}" / LOG_NAME, lines)) for number in range(len(state.hosts))]

    def nodes(self, state: Standing) -> tuple[Node, ...]:
        """The nodes of a state, as they were planned."""
        folder = self.folder(state.kind)
        each = enumerate(zip(state.hosts, state.ports, strict=True))
        return tuple(Node(n, folder / f"node{n}", host, ports, state.settings) for n, (host, ports) in each)

    def _planned(
        self, kind: Kind, count: int, port: int, settings: Mapping[str, str], before: Standing | None
    ) -> tuple[Node, ...]:
        if before is not None and _fits(before, kind, count, port):
            return self.nodes(msgspec.structs.replace(before, settings=dict(settings)))
        shutil.rmtree(self.folder(kind.name), ignore_errors=True)
        return plan(kind, count, self.folder(kind.name), port, settings, self._environment)

    def _started(self, kind: Kind, kit: Kit, nodes: tuple[Node, ...], note: Note) -> Standing:
        note("starting")
        processes: list[Process] = []
        try:
            for node in nodes:
                processes.append(_start(kit, node, nodes))
            state = Standing(
                kind=kind.name,
                url=kind.url(nodes),
                settings=dict(nodes[0].settings),
                hosts=[node.host for node in nodes],
                ports=[dict(node.ports) for node in nodes],
                processes=processes,
            )
            _write(self.folder(kind.name) / STATE_NAME, state)

            def look() -> None:
                note("waiting until it is ready")
                for node, process in zip(nodes, processes, strict=True):
                    if not process.running:
                        raise ended(kind, node, tail(node.folder / LOG_NAME, LOG_LINES))

            wait_ready(kind, nodes, look, None)
        except BaseException:
            _end(processes, 0)
            raise
        return state


def _write(path: Path, state: Standing) -> None:
    # It has the passwords of servers.
    path.touch()
    path.chmod(0o600)
    path.write_bytes(msgspec.json.encode(state))


def _fits(before: Standing, kind: Kind, count: int, port: int) -> bool:
    """Whether what an earlier `up` left can be started again: another release may have known other ports."""
    ports = before.ports[0]
    return len(before.hosts) == count and set(ports) == set(kind.ports) and port in (0, next(iter(ports.values())))


def _start(kit: Kit, node: Node, nodes: tuple[Node, ...]) -> Process:
    launch = kit.launch(node, nodes)
    with (node.folder / LOG_NAME).open("ab") as log:
        process = subprocess.Popen(
            launch.command,
            cwd=node.folder,
            env={**os.environ, **launch.variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # Whoever ends it later is another process: here it is nobody's to wait for.
    process.returncode = 0
    return Process(process.pid, started_at(process.pid))


def _end(processes: list[Process], within_s: float) -> None:
    """None of them runs, nor whoever they started: waited for, then killed."""
    if not gone(processes, within_s):
        others = [each for process in processes if process.running for each in kill(process.pid)]
        gone([*processes, *others], KILLED_WITHIN_S)
