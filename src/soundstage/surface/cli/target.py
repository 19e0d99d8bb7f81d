"""Reaching the stage that a command is for: one that runs elsewhere, or one opened in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

from soundstage.client import Settings, Unreachable, connect
from soundstage.core.call import CallOptions
from soundstage.core.errors import InvalidArgument, SoundstageError, Unavailable
from soundstage.core.operation import Invoker
from soundstage.core.time import Duration
from soundstage.runtime.config import StageConfig
from soundstage.runtime.folders import holder
from soundstage.runtime.stage import Stage
from soundstage.runtime.stagefile import LoadedConfig, load_config
from soundstage.surface.cli.failure import FAILED, UNREACHABLE, CommandFailure, not_started, usage
from soundstage.surface.cli.options import Folder, Target
from soundstage.surface.cli.request import variable


class Reached(msgspec.Struct, frozen=True):
    """A stage that takes calls, with the options that every one of them carries."""

    invoker: Any
    options: CallOptions

    async def invoke(self, operation: Any, request: Any) -> Any:
        """The reply to `request`; raises `CommandFailure`."""
        invoker: Invoker = self.invoker
        try:
            return await invoker.invoke(operation, request, self.options)
        except SoundstageError as error:
            raise CommandFailure(error, UNREACHABLE if isinstance(error, Unreachable) else FAILED) from error


def load(folder: Folder, flags: Mapping[str, Any] | None = None) -> LoadedConfig:
    """The configuration that `folder`, the environment and `flags` by dotted key lead to."""
    try:
        return load_config(
            folder.stage or variable("STAGE"), variables=os.environ, flags={"data": folder.data, **(flags or {})}
        )
    except SoundstageError as error:
        raise not_started(error) from error


@asynccontextmanager
async def reached(target: Target) -> AsyncGenerator[Reached]:
    """The stage of `target`, until the block ends."""
    options = CallOptions(deadline=_deadline_s(target))
    async with AsyncExitStack() as held:
        url = remote_url(target)
        if url is None:
            loaded = load(target)
            try:
                stage = await held.enter_async_context(Stage.open(config=loaded, background=False))
            except SoundstageError as error:
                url = await _serving_holder(loaded.config, error)
            else:
                yield Reached(stage, options)
                return
        connection = await held.enter_async_context(connect(url, settings=_settings(target)))
        yield Reached(connection, options)


async def _serving_holder(config: StageConfig, error: SoundstageError) -> str:
    """The address of the process that has the data folder open, which is then told; raises for other errors."""
    found = holder(config) if isinstance(error, Unavailable) else None
    if found is None or found.url is None:
        raise not_started(error) from error
    print(
        f"soundstage: {found.folder} is open in the process {found.pid}; talking to it at {found.url}", file=sys.stderr
    )
    return found.url


def remote_url(target: Target) -> str | None:
    """The address that flags or environment name; a flag for a folder goes before the environment's address."""
    folder = "--stage" if target.stage else "--data"
    if target.url is not None and (target.stage or target.data):
        raise usage(f"--url and {folder} name two stages", hint="give one of them")
    if target.stage or target.data:
        return None
    return target.url or variable("URL")


def _settings(target: Target) -> Settings:
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
