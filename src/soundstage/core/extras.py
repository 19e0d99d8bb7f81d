"""Libraries that come with an extra of Soundstage and not with Soundstage itself."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def library(name: str, extra: str) -> Any:
    """The module `name`; where it is not installed, `ModuleNotFoundError` with the line that installs it.

    For modules whose functions are used without a stage: they import what is heavy so, at their head or where it is
    first needed. Whatever the library itself lacks is raised as it is.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ModuleNotFoundError(
            f'{error.name} is not installed: pip install "soundstage[{extra}]"', name=error.name
        ) from None
