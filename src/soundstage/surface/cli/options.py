"""The flags that commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from cyclopts import Group, Parameter

from soundstage.surface.cli.output import Format

STAGE_PANEL = Group("Stage", sort_key=90)
OUTPUT_PANEL = Group("Output", sort_key=91)

Output: TypeAlias = Annotated[
    Format | None,
    Parameter(
        group=OUTPUT_PANEL,
        help="How to print: a table on a terminal and JSON elsewhere, unless given here or in SOUNDSTAGE_OUTPUT.",
    ),
]
"""How to print the result."""


@Parameter(name="*", group=STAGE_PANEL)
@dataclass(frozen=True, kw_only=True)
class Folder:
    """Which stage, for commands that work on its folder."""

    stage: Annotated[str | None, Parameter(help="Stage file (SOUNDSTAGE_STAGE).", metavar="FILE")] = None
    data: Annotated[str | None, Parameter(help="Data folder (SOUNDSTAGE_DATA; ./soundstage-data).", metavar="DIR")] = (
        None
    )


@Parameter(name="*", group=OUTPUT_PANEL)
@dataclass(frozen=True, kw_only=True)
class Plotting:
    """Whether to draw what is found, for operations whose system says how that is counted."""

    plot: Annotated[
        str | None,
        Parameter(help="Count what is found by time, on all pages, and draw it into this PNG.", metavar="FILE"),
    ] = None
    plot_interval: Annotated[
        str | None,
        Parameter(help="How long a bar of the plot is, such as 1h; chosen by default.", metavar="DURATION"),
    ] = None


@Parameter(name="*", group=STAGE_PANEL)
@dataclass(frozen=True, kw_only=True)
class Target(Folder):
    """Which stage, for commands that call operations: one that runs elsewhere, or one opened in this process."""

    url: Annotated[str | None, Parameter(help="Address of a running stage (SOUNDSTAGE_URL).", metavar="URL")] = None
    token: Annotated[
        str | None, Parameter(help="Access token, or @FILE that holds one (SOUNDSTAGE_TOKEN).", metavar="TOKEN")
    ] = None
    timeout: Annotated[
        str | None,
        Parameter(help="Deadline of each call, such as 250ms (SOUNDSTAGE_TIMEOUT; 30s).", metavar="DURATION"),
    ] = None
