"""The types of ASGI messages, as far as they are used here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

WHOLE = "soundstage.response.whole"
"""An extension: one message with `status`, `headers` and `body` is a response, which takes half the work of two."""

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
