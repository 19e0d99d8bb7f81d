"""`soundstage agent`: a role that needs no more than a client, on a host of its own."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Annotated

import msgspec
from cyclopts import Parameter

from soundstage.catalogue import SYSTEMS
from soundstage.client import connect
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import SoundstageError
from soundstage.core.names import nearest
from soundstage.runtime.logs import configure_logs
from soundstage.runtime.role_runner import Persistence
from soundstage.runtime.roles import Role, RoleContext
from soundstage.runtime.systems import catalogued, contributed_roles
from soundstage.surface.cli.failure import DONE, USAGE, CommandFailure, usage
from soundstage.surface.cli.options import OUTPUT_PANEL, Target
from soundstage.surface.cli.output import wanted_format
from soundstage.surface.cli.serving import signalled
from soundstage.surface.cli.target import load, remote_url, settings
from soundstage.surface.cli.up import Lines

_NO_TARGET = Target()


class Began(msgspec.Struct, frozen=True):
    """What is printed, with `--output jsonl`, once the role has begun."""

    event: str
    role: str
    url: str
    pid: int


def agent(
    role: Annotated[str, Parameter(help="A role that needs a client only.", metavar="ROLE")],
    /,
    *,
    target: Target = _NO_TARGET,
    output: Annotated[
        Lines | None,
        Parameter(group=OUTPUT_PANEL, help="A line for people, or a JSON object (SOUNDSTAGE_OUTPUT; table)."),
    ] = None,
) -> int:
    """Run a role here for the stage at --url, until Ctrl-C or SIGTERM.

    The role is begun again when it fails, as it does while the stage cannot be reached, and the log says why.
    Calls carry the access token given. Exits with 0 when it is told to end.
    """
    import uvloop

    url = remote_url(target)
    if url is None:
        raise usage("an agent works for a stage that runs elsewhere", field="url", hint="give --url or SOUNDSTAGE_URL")
    form = output or ("jsonl" if wanted_format() in ("json", "jsonl") else "table")
    return uvloop.run(_work(_chosen(role), url, target, form))


async def _work(role: Role, url: str, target: Target, output: Lines) -> int:
    stopping = asyncio.Event()
    handler = configure_logs(load(target).config.telemetry)
    try:
        with signalled(stopping):
            async with connect(url, settings=settings(target)) as connection:
                context = RoleContext(environment=connection.environment, invoker=connection)
                working = asyncio.ensure_future(Persistence(SystemEnvironment()).again(role, lambda: role.run(context)))
                began = Began("ready", role.name, url, os.getpid())
                text = f"agent {role.name} for {url}" if output == "table" else msgspec.json.encode(began).decode()
                print(text, flush=True)
                await stopping.wait()
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
    finally:
        logging.getLogger().removeHandler(handler)
    return DONE


def _chosen(name: str) -> Role:
    try:
        roles = {role.name: role for _, role in contributed_roles(catalogued(SYSTEMS))}
    except SoundstageError as error:
        raise CommandFailure(error, USAGE) from error
    role = roles.get(name)
    if role is None:
        raise usage(f"there is no role {name!r}", field="role", hint=_known(name, roles))
    if role.needs != "client":
        raise usage(
            f"the role {name!r} needs the engines of the stage",
            field="role",
            hint=f"run it where they are: soundstage up --workers {name}=1",
        )
    return role


def _known(name: str, roles: Mapping[str, Role]) -> str:
    able = sorted(name for name, role in roles.items() if role.needs == "client")
    close = nearest(name, able)
    if close:
        return f"did you mean {close!r}?"
    return f"roles for agents are {', '.join(able)}" if able else "no system that is installed has one for agents"
