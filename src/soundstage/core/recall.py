"""What a client remembers of the writes of its own, so that its reads see them wherever they are answered.

A system whose readers may be shown for a while what was there before names a module in its declaration, `recall`, with
a `RECALL` in it that makes one `Recall` for each connection. That module imports nothing but `core` and `api`
modules, as clients do, and is loaded by the first call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol, TypeAlias

from soundstage.core.environment import Environment
from soundstage.core.operation import Operation

Send: TypeAlias = Callable[[Any], Awaitable[Any]]
"""Sends a request, by all the tries that its call has; gives the reply."""


class Recall(Protocol):
    """The memory of one connection, of the calls of one system; never larger than a bound of its own."""

    async def around(self, operation: Operation[..., Any], request: Any, send: Send) -> Any:
        """The reply to `request`, which goes by `send` as what is remembered has it go."""
        ...

    def answered(self, request: Any, reply: Any) -> None:
        """What `reply` says is to be remembered is."""
        ...


class Recalls:
    """The memories of one connection, each begun by the first call that needs it."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._of: dict[str, Recall] = {}

    def of(self, operation: Operation[..., Any]) -> Recall | None:
        """That of the operation's system; None where clients have nothing to remember."""
        module = operation.recall
        if module is None:
            return None
        found = self._of.get(module)
        if found is None:
            found = self._of[module] = _maker(module)(self._environment)
        return found


@lru_cache(maxsize=64)
def _maker(module: str) -> Callable[[Environment], Recall]:
    return import_module(module).RECALL
