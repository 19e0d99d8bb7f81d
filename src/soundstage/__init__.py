"""Soundstage: the ground floor of a streaming service's platform, in one Python package.

Importing this package loads no driver, server or metrics library; each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soundstage import errors
    from soundstage.client import Connection, SyncConnection, connect, connect_sync
    from soundstage.core.errors import SoundstageError
    from soundstage.core.message import IdempotencyToken
    from soundstage.core.size import Size
    from soundstage.core.time import Duration, Instant
    from soundstage.runtime.stage import Stage
    from soundstage.runtime.sync_stage import SyncStage

__version__ = "0.1.0"

_HOMES = {
    "Connection": "soundstage.client",
    "Duration": "soundstage.core.time",
    "IdempotencyToken": "soundstage.core.message",
    "Instant": "soundstage.core.time",
    "Size": "soundstage.core.size",
    "SoundstageError": "soundstage.core.errors",
    "Stage": "soundstage.runtime.stage",
    "SyncConnection": "soundstage.client",
    "SyncStage": "soundstage.runtime.sync_stage",
    "connect": "soundstage.client",
    "connect_sync": "soundstage.client",
    "errors": "soundstage.errors",
}
"""The package or module that each public name is loaded from."""

__all__ = [
    "Connection",
    "Duration",
    "IdempotencyToken",
    "Instant",
    "Size",
    "SoundstageError",
    "Stage",
    "SyncConnection",
    "SyncStage",
    "__version__",
    "connect",
    "connect_sync",
    "errors",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(home)
    found = module if home == f"{__name__}.{name}" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
