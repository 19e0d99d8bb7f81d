"""The command `soundstage`, but that an index is made in small parts, of which no more than some are.

HELD_PARTS says how many, and HELD_FILE which file is there once it waits.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from soundstage.data.timeseries.index import building
from soundstage.engines.records.port import Budget
from soundstage.surface.cli import main

LEFT = [int(os.environ.pop("HELD_PARTS", "1000000"))]
FILE = os.environ.pop("HELD_FILE", "")
EVENTS = 20

_part = building.Build.part


async def part(self: building.Build, served: Any, environment: Any) -> Any:
    if not self.is_whole:
        LEFT[0] -= 1
        if LEFT[0] < 0:
            _tell()
            await environment.sleep(3_600)
    return await _part(self, served, environment)


def _tell() -> None:
    Path(FILE).touch()


if __name__ == "__main__":
    building.WALK = Budget(rows=EVENTS, bytes=1 << 20)
    building.EVENTS = EVENTS
    building.Build.part = part
    main()
