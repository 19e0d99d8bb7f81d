"""What engines and services count for themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple


class Measurement(NamedTuple):
    """One number at this moment. `name` ends in its unit, such as `kv_read_bytes`; counters only grow."""

    name: str
    help: str
    value: float
    kind: Literal["counter", "gauge"] = "gauge"
    labels: Mapping[str, str] = {}
