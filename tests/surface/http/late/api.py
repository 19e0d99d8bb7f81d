"""One operation, so that it is a system."""

# pyright: reportReturnType=false
from __future__ import annotations

import msgspec

from soundstage.core.operation import operation


class Ask(msgspec.Struct, kw_only=True):
    pass


class Answer(msgspec.Struct, kw_only=True):
    pass


class LateCalls:
    """Nothing much."""

    system = "late"

    @operation(Ask, access="read")
    def ask(self) -> Answer:
        """An empty answer."""


CALLS = LateCalls
