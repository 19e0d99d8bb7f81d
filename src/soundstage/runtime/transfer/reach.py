"""The parts of a stage that exports, imports, copies and plans work on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from soundstage.runtime.control.changes import NamespaceControl
from soundstage.runtime.engines import Engines
from soundstage.runtime.files import Files
from soundstage.runtime.systems import Systems


class Administered(NamedTuple):
    """What the system `namespaces` makes reachable; `bound` are the engines of ports where none is named."""

    control: NamespaceControl
    files: Files
    systems: Systems
    engines: Engines
    bound: Mapping[str, str]
