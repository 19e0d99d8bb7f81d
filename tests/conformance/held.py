"""Connections that several tests share."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, TypeVar


class Holdable(Protocol):
    """A link of an engine to its servers, connected for as long as anybody holds it."""

    def hold(self) -> None: ...

    def let_go(self) -> None: ...


L = TypeVar("L", bound=Holdable)


@contextmanager
def held(link: L) -> Generator[L]:
    """Connected within the block, so that no test needs time for it."""
    link.hold()
    try:
        yield link
    finally:
        link.let_go()
