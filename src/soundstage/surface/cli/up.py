"""`soundstage up`: everything configured, served over HTTP until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Literal, TypeAlias

import msgspec
from cyclopts import Group, Parameter

from soundstage.runtime.config import MEMORY
from soundstage.runtime.stagefile import LoadedConfig
from soundstage.surface.cli.failure import DONE, usage
from soundstage.surface.cli.options import OUTPUT_PANEL, Folder
from soundstage.surface.cli.output import wanted_format
from soundstage.surface.cli.serving import Addresses, left, serving, signalled
from soundstage.surface.cli.target import load

_HTTP = Group("HTTP", sort_key=10)
_PROCESSES = Group("Processes", sort_key=11)
_NO_FOLDER = Folder()


Lines: TypeAlias = Literal["table", "jsonl"]


class Ready(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is printed, with `--output jsonl`, once every system answers.

    `metrics` only where they are apart; without the role `http` there is no address. `doors` has the address of each
    open door by its name.
    """

    event: str
    data: str
    pid: int
    url: str | None = None
    console: str | None = None
    metrics: str | None = None
    doors: dict[str, str] = {}


def up(
    *,
    folder: Folder = _NO_FOLDER,
    host: Annotated[
        str | None,
        Parameter(group=_HTTP, metavar="ADDRESS", help="Address to listen on (SOUNDSTAGE_HTTP__HOST; 127.0.0.1)."),
    ] = None,
    port: Annotated[
        int | None,
        Parameter(group=_HTTP, metavar="INTEGER", help="0 picks a free one (SOUNDSTAGE_HTTP__PORT; 7777)."),
    ] = None,
    metrics_listen: Annotated[
        str | None,
        Parameter(
            group=_HTTP,
            metavar="HOST:PORT",
            help="A listener of its own for metrics and health (SOUNDSTAGE_HTTP__METRICS_LISTEN).",
        ),
    ] = None,
    insecure: Annotated[
        bool | None,
        Parameter(
            group=_HTTP,
            help="Serve other machines without authentication (SOUNDSTAGE_HTTP__INSECURE).",
        ),
    ] = None,
    roles: Annotated[
        str | None,
        Parameter(
            group=_PROCESSES,
            metavar="ROLE,ROLE",
            help="Roles to run, of http, jobs, sweeper, files and those of systems (SOUNDSTAGE_PROCESSES__ROLES; all).",
        ),
    ] = None,
    workers: Annotated[
        tuple[str, ...],
        Parameter(
            group=_PROCESSES,
            metavar="ROLE=N",
            help="Run a role in so many child processes; may be repeated (SOUNDSTAGE_PROCESSES__WORKERS; none).",
        ),
    ] = (),
    output: Annotated[
        Lines | None,
        Parameter(group=OUTPUT_PANEL, help="Lines for people, or a JSON object per event (SOUNDSTAGE_OUTPUT; table)."),
    ] = None,
) -> int:
    """Start everything configured and serve it over HTTP; without a stage file, embedded engines in the data folder.

    Prints the console's address, the data folder and, once every system answers, `ready http://HOST:PORT`.
    SIGTERM and Ctrl-C let calls under way end and exit with 0; a second one exits at once.
    """
    import uvloop

    flags = {
        "http.host": host,
        "http.port": port,
        "http.metrics_listen": metrics_listen,
        "http.insecure": insecure,
        "processes.roles": None if roles is None else [name for name in roles.split(",") if name],
        "processes.workers": dict(map(_worker, workers)) or None,
    }
    # What is no format is refused as everywhere else.
    wanted = output or wanted_format()
    loaded = load(folder, flags)
    form: Lines = "table" if (wanted or loaded.config.output) == "table" else "jsonl"
    return left(uvloop.run(serve(loaded, form)))


def _worker(text: str) -> tuple[str, int]:
    role, _, count = text.partition("=")
    if not role or not (count.isascii() and count.isdigit()):
        raise usage(f"{text!r} is no ROLE=N", field="workers", hint="write --workers http=2")
    return role, int(count)


async def serve(loaded: LoadedConfig, output: Lines) -> int:
    """The stage of `loaded` has served until a signal came; the exit code."""
    stopping = asyncio.Event()
    with signalled(stopping):
        async with serving(loaded, stopping) as addresses:
            if not stopping.is_set():
                announce(addresses, loaded.config.data, output)
            await stopping.wait()
    return DONE


def announce(addresses: Addresses, data: str, output: Lines) -> None:
    """Whoever waits for the stage is told where it is."""
    url, metrics, doors = addresses
    ready = Ready(
        event="ready",
        url=url or None,
        console=f"{url}/" if url else None,
        data=data if data == MEMORY else os.path.abspath(data),
        pid=os.getpid(),
        metrics=metrics,
        doors={door.name: door.address for door in doors},
    )
    if output == "jsonl":
        text = f"{msgspec.json.encode(ready).decode()}\nready {url}".rstrip()
    else:
        apart = "" if metrics is None else f"metrics {metrics}\n"
        console = f"console {ready.console}\n" if ready.console else ""
        open_doors = "".join(f"door    {name} {address}\n" for name, address in ready.doors.items())
        text = f"{console}data    {ready.data}\n{apart}{open_doors}ready {url}".rstrip()
    print(text, flush=True)
