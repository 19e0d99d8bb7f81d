"""`soundstage servers`: real servers on this machine, started, looked at and ended."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from soundstage.servers.commands import InstalledServer, ListedServer, install_server, list_servers
from soundstage.servers.shelf import Note
from soundstage.servers.standing import Site
from soundstage.surface.cli.failure import DONE, usage
from soundstage.surface.cli.help import HelpPages
from soundstage.surface.cli.options import Output
from soundstage.surface.cli.output import chosen_format, show
from soundstage.surface.cli.progress import bar

app: App = App(
    name="servers",
    help="Real servers on this machine, installed through package registries, for trying and testing.",
    help_format="plaintext",
    help_formatter=HelpPages(),
    version_flags=(),
)

Name = Annotated[str, Parameter(name="NAME", help="A kind of server; `soundstage servers status` lists them.")]


class Installed(msgspec.Struct, frozen=True):
    """What one `install` brought or found."""

    servers: list[InstalledServer]


class Shown(msgspec.Struct, frozen=True):
    """A kind of server as the table shows it."""

    name: str
    version: str
    state: str
    url: str
    summary: str


class ShownList(msgspec.Struct, frozen=True):
    """The table of servers."""

    servers: list[Shown]
    folder: str


class Ended(msgspec.Struct, frozen=True):
    """What one `down` did: `ran` is whether there was something to end."""

    name: str
    ran: bool


class NodeLog(msgspec.Struct, frozen=True):
    """The last lines that one node printed."""

    node: int
    log: str


class Logs(msgspec.Struct, frozen=True):
    """The logs of all nodes of a kind."""

    nodes: list[NodeLog]


@app.command
def install(*names: Name, output: Output = None) -> int:
    """The named kinds can be started without a network."""
    if not names:
        raise usage("no server is named", hint="see soundstage servers status")
    show(Installed([_install(name) for name in names]), chosen_format(output))
    return DONE


@app.command
def up(
    name: Name,
    *,
    nodes: Annotated[int, Parameter(help="How many servers, as one cluster.")] = 1,
    port: Annotated[int, Parameter(help="Port for clients; 0 picks a free one.")] = 0,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", help="A setting, as NAME=VALUE; may be repeated.")] = (),
    output: Output = None,
) -> int:
    """The server runs, is ready, and stays until `down`; installs it where it is not there."""
    with _progress(name) as note:
        Site().up(name, nodes=nodes, port=port, settings=_settings(set_), note=note)
    return status(name, output=output)


@app.command
def down(
    name: Name,
    *,
    forget: Annotated[bool, Parameter(help="Delete its data and logs too.")] = False,
    output: Output = None,
) -> int:
    """The server has ended; its data stays for the next `up`."""
    show(Ended(name, Site().down(name, forget=forget)), chosen_format(output))
    return DONE


@app.command
def status(*names: Name, output: Output = None) -> int:
    """The kinds there are, and what runs of them."""
    form = chosen_format(output)
    found = list_servers(names)
    show(ShownList([_shown(each) for each in found.servers], found.folder) if form == "table" else found, form)
    return DONE


@app.command
def logs(
    name: Name,
    *,
    lines: Annotated[int, Parameter(help="How many of each node.")] = 20,
    output: Output = None,
) -> int:
    """The last lines that the server printed."""
    form = chosen_format(output)
    found = [NodeLog(number, text) for number, text in Site().logs(name, lines)]
    if form != "table":
        show(Logs(found), form)
        return DONE
    for each in found:
        if len(found) > 1:
            print(f"== node {each.node}")
        print(each.log)
    return DONE


def _install(name: str) -> InstalledServer:
    with _progress(name) as note:
        return install_server(name, note)


@contextmanager
def _progress(name: str) -> Generator[Note]:
    with bar(name, "steps") as report:
        done: list[str] = []

        def note(what: str) -> None:
            if done[-1:] != [what]:
                done.append(what)
            report(len(done) - 1, None, what)

        yield note


def _settings(words: tuple[str, ...]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise usage(f"{word!r} is not NAME=VALUE", field="set")
    return dict(word.split("=", 1) for word in words)


def _shown(each: ListedServer) -> Shown:
    if not each.running:
        state = "down"
    elif each.ready:
        state = "up" if each.nodes == 1 else f"up, {each.nodes} nodes"
    else:
        state = f"{each.running} of {each.nodes} run"
    return Shown(each.name, each.version, state, each.url, each.summary)
