"""What engines and services count for themselves, for the metrics of the stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, Protocol, runtime_checkable


class Measurement(NamedTuple):
    """One number at this moment. `name` ends in its unit, such as `kv_read_bytes`; counters only grow."""

    name: str
    help: str
    value: float
    kind: Literal["counter", "gauge"] = "gauge"
    labels: Mapping[str, str] = {}


@runtime_checkable
class Measured(Protocol):
    """An engine or a service with measurements; all of one name have the same labels."""

    def measurements(self) -> Iterable[Measurement]: ...
