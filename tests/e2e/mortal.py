"""Stages that die at a given step, and clients that do not try again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from soundstage.client import Settings
from soundstage.core.policy import RetryPolicy
from soundstage.testing.crash.process import StageProcess

ROOT = Path(__file__).resolve().parents[2]
ONE_TRY = Settings(retry=RetryPolicy(retries=0))


def mortal(
    data: Path, point: str, *, stage_file: Path | None = None, variables: Mapping[str, str] | None = None
) -> StageProcess:
    """A stage that dies there; see `tests.e2e.dying`, which has `variables` too."""
    return StageProcess(
        data,
        stage_file=stage_file,
        program=(sys.executable, "-m", "tests.e2e.dying"),
        variables={**(variables or {}), "DIES_AT": point, "PYTHONPATH": str(ROOT)},
    )
