"""What engines and services count for themselves, for the metrics of the stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from soundstage.core.measurement import Measurement

__all__ = ["Measured", "Measurement"]


@runtime_checkable
class Measured(Protocol):
    """An engine or a service with measurements; all of one name have the same labels."""

    def measurements(self) -> Iterable[Measurement]: ...
