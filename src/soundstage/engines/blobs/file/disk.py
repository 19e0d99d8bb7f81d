"""How what was written comes to be safe: the two calls after which a loss of power takes nothing back."""

from __future__ import annotations

import os
from pathlib import Path

from soundstage.engines.rocks.folder import sync_folder


class Disk:
    """The machine's own. Blocking: for a thread; raises `OSError`."""

    def sync(self, descriptor: int) -> None:
        """What was written to the file is on the disk."""
        os.fsync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """The names in `folder` are."""
        sync_folder(folder)


DISK = Disk()
