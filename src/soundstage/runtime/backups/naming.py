"""Names of backups that are called after a moment."""

from __future__ import annotations

from soundstage.core.time import Instant


def moment(at: Instant) -> str:
    """`at` in milliseconds, as a name that sorts by it: 2026-11-26T16-40-12.345Z."""
    text = str(at).removesuffix("Z").replace(":", "-")
    seconds, _, fraction = text.partition(".")
    return f"{seconds}.{fraction[:3]:0<3}Z"
