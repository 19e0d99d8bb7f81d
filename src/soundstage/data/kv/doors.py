"""The doors to the key-value store."""

from __future__ import annotations

from soundstage.data.kv.resp.config import RespConfig
from soundstage.data.kv.resp.door import RespDoor
from soundstage.runtime.door import DoorKind

DOORS: dict[str, DoorKind] = {"resp": DoorKind(RespConfig, RespDoor, "redis")}
