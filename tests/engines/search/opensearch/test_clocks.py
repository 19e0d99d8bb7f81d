"""Clocks that disagree, of processes or of the cluster, cannot matter: the engine asks for no time of day."""

from __future__ import annotations

import ast
from pathlib import Path

from soundstage.engines.search import opensearch

TIMES_OF_DAY = {"now", "now_ns", "now_us", "time", "time_ns", "utcnow", "today"}
OF_THE_LOOP = "asyncio.get_running_loop().time"
"""Another monotonic one."""


def test_the_engine_reads_no_clock_but_the_monotonic_one() -> None:
    read = {
        each.func.attr
        for path in Path(opensearch.__path__[0]).glob("*.py")
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and ast.unparse(each.func) != OF_THE_LOOP
    }
    assert "monotonic_ns" in read
    assert read & TIMES_OF_DAY == set()
