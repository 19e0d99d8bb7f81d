"""The one place where the driver is imported; its objects are `Any` from here on, for it has no types."""

from __future__ import annotations

from functools import cache
from typing import Any

from soundstage.core.extras import library

EXTRA = "s3"

aiohttp: Any = library("aiohttp", EXTRA)
config: Any = library("aiobotocore.config", EXTRA)
session: Any = library("aiobotocore.session", EXTRA)
exceptions: Any = library("botocore.exceptions", EXTRA)
parsers: Any = library("botocore.parsers", EXTRA)

MODULES: tuple[Any, ...] = (exceptions, parsers, aiohttp)
"""Where the driver's exceptions are declared."""

ERRORS: tuple[type[Exception], ...] = (
    exceptions.BotoCoreError,
    exceptions.ClientError,
    parsers.ResponseParserError,
    aiohttp.ClientError,
    OSError,
    TimeoutError,
)
"""What its calls raise, among them what it lets through from below."""


@cache
def models() -> Any:
    """The driver's descriptions of S3, which take a fifth of a second to read: once for all sessions."""
    return library("botocore.loaders", EXTRA).create_loader()


def new_session(profile: str | None) -> Any:
    """A session that takes credentials from wherever the driver looks for them."""
    made = session.get_session()
    made.register_component("data_loader", models())
    if profile is not None:
        made.set_config_variable("profile", profile)
    return made
