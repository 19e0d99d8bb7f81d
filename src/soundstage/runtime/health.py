"""Whether a stage can serve, and why not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from soundstage.runtime.measurement import Measurement


class Health(msgspec.Struct, frozen=True):
    """`ready`: calls are let in and nothing that they need is failing; else `reasons` say what is wrong.

    `warnings` are what should be seen to before more than some calls are refused; a ready stage may have them.
    `unserved` says which namespaces cannot be served, why and what to do; the others are, so that is no reason.
    """

    ready: bool
    reasons: list[str]
    warnings: list[str] = []
    unserved: list[str] = []


class Watched(Protocol):
    """A part beside the stage's own whose well-being is the stage's."""

    def reasons(self) -> list[str]:
        """Why it is not well; none: it is."""
        ...

    def measurements(self) -> Iterable[Measurement]: ...
