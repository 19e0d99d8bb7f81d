"""`soundstage up`: everything configured, served over HTTP until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Literal

import msgspec
from cyclopts import Group, Parameter

from soundstage.runtime.config import MEMORY
from soundstage.runtime.stagefile import LoadedConfig
from soundstage.surface.cli.failure import DONE
from soundstage.surface.cli.options import Folder
from soundstage.surface.cli.serving import serving, signalled
from soundstage.surface.cli.target import load

_HTTP = Group("HTTP", sort_key=10)
_NO_FOLDER = Folder()


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What is printed, with `--output jsonl`, once every system answers."""

    event: Literal["ready"] = "ready"
    url: str
    console: str
    data: str
    pid: int


def up(
    *,
    folder: Folder = _NO_FOLDER,
    host: Annotated[
        str | None, Parameter(group=_HTTP, help="Address to listen on (SOUNDSTAGE_HTTP__HOST; 127.0.0.1).")
    ] = None,
    port: Annotated[
        int | None, Parameter(group=_HTTP, help="0 picks a free one (SOUNDSTAGE_HTTP__PORT; 7777).")
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
    output: Annotated[
        Literal["table", "jsonl"], Parameter(help="Lines for people, or a JSON object per event.", show_default=False)
    ] = "table",
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
    }
    return uvloop.run(serve(load(folder, flags), output))


async def serve(loaded: LoadedConfig, output: Literal["table", "jsonl"]) -> int:
    """The stage of `loaded` has served until a signal came; the exit code."""
    stopping = asyncio.Event()
    with signalled(stopping):
        async with serving(loaded, stopping) as url:
            if not stopping.is_set():
                announce(url, loaded.config.data, output)
            await stopping.wait()
    return DONE


def announce(url: str, data: str, output: Literal["table", "jsonl"]) -> None:
    """Whoever waits for the stage is told where it is."""
    ready = Ready(url=url, console=f"{url}/", data=data if data == MEMORY else os.path.abspath(data), pid=os.getpid())
    if output == "jsonl":
        text = msgspec.json.encode(ready).decode()
    else:
        text = f"console {ready.console}\ndata    {ready.data}\nready {url}"
    print(text, flush=True)
