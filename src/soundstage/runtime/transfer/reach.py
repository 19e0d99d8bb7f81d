"""The parts of a stage that exports, imports and copies work on."""

from __future__ import annotations

from typing import NamedTuple

from soundstage.runtime.control.changes import NamespaceControl
from soundstage.runtime.files import Files


class Administered(NamedTuple):
    """What the system `namespaces` makes reachable."""

    control: NamespaceControl
    files: Files
