"""What `soundstage servers` does, without the printing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from soundstage.runtime.secrecy import HIDDEN, is_secret
from soundstage.servers.catalogue import KINDS, find
from soundstage.servers.kind import Kind, Settings
from soundstage.servers.programs import Toolbox
from soundstage.servers.shelf import Note, Shelf
from soundstage.servers.standing import Site, Standing


class ListedServer(msgspec.Struct, frozen=True):
    """One kind of server and what runs of it: `running` of `nodes`, each with its `ports` by what they are for.

    Of `settings` those by the name of a secret are hidden.
    """

    name: str
    summary: str
    version: str
    running: int
    nodes: int
    ready: bool
    url: str
    settings: dict[str, str]
    ports: list[dict[str, int]]


class ServerList(msgspec.Struct, frozen=True):
    """All kinds of servers, and the folder that they are kept in."""

    folder: str
    servers: tuple[ListedServer, ...]


class InstalledServer(msgspec.Struct, frozen=True):
    """A kind that can be started without a network."""

    name: str
    version: str


def list_servers(names: Sequence[str] = (), site: Site | None = None) -> ServerList:
    """The kinds called `names`, all without a name, with what runs of them; asks those that run whether they answer."""
    place = site or Site()
    kinds = [find(name) for name in names] or KINDS
    return ServerList(str(place.shelf.folder), tuple(_listed(kind, place) for kind in kinds))


def install_server(name: str, note: Note, shelf: Shelf | None = None) -> InstalledServer:
    """The kind called `name` is on this machine. Repeatable: what is there is only looked at."""
    kind = find(name)
    kind.install(Toolbox(shelf or Shelf(), note))
    return InstalledServer(kind.name, kind.version)


def _listed(kind: Kind, site: Site) -> ListedServer:
    state = site.state(kind.name)
    running = 0 if state is None else sum(process.running for process in state.processes)
    return ListedServer(
        name=kind.name,
        summary=kind.summary,
        version=kind.version,
        running=running,
        nodes=0 if state is None else len(state.hosts),
        ready=state is not None and running == len(state.hosts) and _answers(kind, state, site),
        url=state.url if state is not None and running else "",
        settings=_shown(kind.settings if state is None else state.settings),
        ports=state.ports if state is not None and running else [],
    )


def _shown(settings: Settings) -> dict[str, str]:
    return {name: HIDDEN if is_secret(name) else value for name, value in settings.items()}


def _answers(kind: Kind, state: Standing, site: Site) -> bool:
    return kind.ready(site.nodes(state))
