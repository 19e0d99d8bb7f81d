"""Reaching the stage that a command is for: one that runs elsewhere, or one opened in this process."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from typing import Any

import msgspec

from soundstage.client import Settings, Unreachable, connect
from soundstage.core.call import CallOptions
from soundstage.core.errors import InvalidArgument, SoundstageError, Unavailable
from soundstage.core.operation import Invoker
from soundstage.core.streaming import Reading
from soundstage.core.time import Duration
from soundstage.core.transfers import FileAccess, Source
from soundstage.runtime.folders import absent, holder
from soundstage.runtime.stage import Stage
from soundstage.runtime.stagefile import LoadedConfig, load_config
from soundstage.surface.cli.failure import FAILED, UNREACHABLE, CommandFailure, defect_at_start, not_started, usage
from soundstage.surface.cli.options import Folder, Target
from soundstage.surface.cli.request import variable

VARIABLES = frozenset(
    f"SOUNDSTAGE_{name}"
    for name in ("CA", "CERTIFICATE", "DATASETS", "KEY", "OUTPUT", "STAGE", "TIMEOUT", "TOKEN", "TOKEN_FILE", "URL")
)
"""What the command line reads of the environment besides the keys of the stage file."""


HOLDER_WITHIN_S = 5.0
"""How long the process that has a folder open may take to close it or to tell its address."""

_HOLDER_INTERVAL_S = 0.05

_NOBODY_WITHIN_S = 0.2
"""A folder that cannot be opened and has no holder may have been held a moment ago, or be held as of now."""


class Reached(msgspec.Struct, frozen=True):
    """A stage that takes calls, with the options that every one of them carries."""

    invoker: Any
    options: CallOptions

    @property
    def files(self) -> FileAccess:
        """The files of the stage; its errors want `told`."""
        return self.invoker.files

    async def invoke(self, operation: Any, request: Any) -> Any:
        """The reply to `request`; raises `CommandFailure`."""
        invoker: Invoker = self.invoker
        with told():
            return await invoker.invoke(operation, request, self.options)

    async def start_job(self, operation: Any, request: Any) -> Any:
        """The job that `request` starts; raises `CommandFailure`."""
        invoker: Invoker = self.invoker
        with told():
            return await invoker.start_job(operation, request, self.options)

    async def follow(self, operation: Any, request: Any) -> AsyncGenerator[Any]:
        """The messages of a feed; raises `CommandFailure`."""
        invoker: Invoker = self.invoker
        with told():
            async with aclosing(invoker.follow(operation, request, self.options)) as messages:
                async for message in messages:
                    yield message

    async def upload(self, operation: Any, request: Any, source: Source) -> Any:
        """The reply to `request` with the bytes of `source`; raises `CommandFailure`."""
        invoker: Invoker = self.invoker
        with told():
            return await invoker.upload(operation, request, source, self.options)

    @asynccontextmanager
    async def download(self, operation: Any, request: Any) -> AsyncGenerator[Reading[Any]]:
        """What `request` names, to be read within the block; raises `CommandFailure`."""
        invoker: Invoker = self.invoker
        with told():
            async with Reading(
                invoker.download(operation, request, self.options), request.start, request.end
            ) as reading:
                yield reading


@contextmanager
def told() -> Generator[None]:
    """What a stage refuses within the block ends the command."""
    try:
        yield
    except SoundstageError as error:
        raise CommandFailure(error, UNREACHABLE if isinstance(error, Unreachable) else FAILED) from error


def stage_file(folder: Folder) -> str | None:
    """The path of the stage file, if there is to be one."""
    return folder.stage or variable("STAGE")


def load(folder: Folder, flags: Mapping[str, Any] | None = None) -> LoadedConfig:
    """The configuration that `folder`, the environment and `flags` by dotted key lead to."""
    try:
        return load_config(stage_file(folder), variables=os.environ, flags={"data": folder.data, **(flags or {})})
    except SoundstageError as error:
        raise not_started(error) from error


def existing_data(folder: Folder) -> LoadedConfig:
    """The configuration, whose data folder is there: a mistyped one is not made, nor taken for an empty one."""
    loaded = load(folder)
    missing = absent(loaded.config)
    if missing is not None:
        raise usage(
            missing,
            hint="name the folder that the stage was started with, by --data, or its stage file, by --stage",
            field="data",
        )
    return loaded


@asynccontextmanager
async def reached(target: Target, *, reads: bool = False, background: bool = False) -> AsyncGenerator[Reached]:
    """The stage of `target`, until the block ends; one opened here does what repeats only with `background`.

    Who only `reads` makes no data folder: where there is none they are told so.
    """
    options = CallOptions(deadline=_deadline_s(target))
    async with AsyncExitStack() as held:
        url = remote_url(target)
        found = url
        if found is None:
            loaded = existing_data(target) if reads else load(target)
            found = await _opened(loaded, held, background=background)
        if isinstance(found, str):
            found = await held.enter_async_context(connect(found, settings=settings(target)))
        yield Reached(found, options)


async def _opened(loaded: LoadedConfig, held: AsyncExitStack, *, background: bool) -> Stage | str:
    """The stage of `loaded` in this process, or the address of the one that has its folder open, which is told.

    A holder without an address is starting, or is another command and soon done: it is waited for.
    """
    began_s = time.monotonic()
    while True:
        try:
            return await held.enter_async_context(Stage.open(config=loaded, background=background))
        except SoundstageError as error:
            found = holder(loaded.config) if isinstance(error, Unavailable) else None
            within_s = _NOBODY_WITHIN_S if found is None else HOLDER_WITHIN_S
            late = time.monotonic() - began_s >= within_s
            if not isinstance(error, Unavailable) or ((found is None or found.url is None) and late):
                raise not_started(error) from error
        except Exception as error:
            raise defect_at_start(error) from error
        if found is not None and found.url is not None:
            who = f"{found.folder} is open in the process {found.pid}"
            print(f"soundstage: {who}; talking to it at {found.url}", file=sys.stderr)
            return found.url
        await asyncio.sleep(_HOLDER_INTERVAL_S)


def remote_url(target: Target) -> str | None:
    """The address that flags or environment name; a flag for a folder goes before the environment's address."""
    folder = "--stage" if target.stage else "--data"
    if target.url is not None and (target.stage or target.data):
        raise usage(f"--url and {folder} name two stages", hint="give one of them")
    if target.stage or target.data:
        return None
    return target.url or variable("URL")


def settings(target: Target) -> Settings:
    """How the connection to `target` proves who it is."""
    token, token_file = target.token or variable("TOKEN"), variable("TOKEN_FILE")
    if token is not None and token.startswith("@"):
        token, token_file = None, os.path.expanduser(token[1:])
    return Settings(
        token=token,
        token_file=token_file,
        ca=variable("CA"),
        certificate=variable("CERTIFICATE"),
        key=variable("KEY"),
    )


def _deadline_s(target: Target) -> float | None:
    text = target.timeout or variable("TIMEOUT")
    if text is None:
        return None
    try:
        timeout = Duration.parse(text)
    except InvalidArgument as error:
        raise usage(error.detail, hint=error.hint, field="timeout") from None
    if timeout <= 0:
        raise usage(f"{text!r} leaves no time", hint="give more than 0s", field="timeout")
    return timeout.seconds
