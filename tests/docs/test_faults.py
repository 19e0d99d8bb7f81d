"""The page on tests names files that there are, where it says which fault is shown by which."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`((?:[a-z0-9_]+/)+test_[a-z0-9_]+)`")


def test_each_fault_of_real_servers_is_shown_by_files_that_there_are() -> None:
    text = (ROOT / "docs" / "testing.md").read_text()
    part = text.partition("## What real servers are made to do")[2].partition("\n## ")[0]
    named = set(NAMED.findall(part))
    assert len(named) > 20
    assert [
        name
        for name in sorted(named)
        if not any((ROOT / "tests" / place / f"{name}.py").is_file() for place in ("conformance", "."))
    ] == []
