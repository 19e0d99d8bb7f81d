"""The benchmark of blobs on S3, at the least size."""

from __future__ import annotations

import pytest
from benchmarks.blobs_s3 import Scale, measured

pytestmark = pytest.mark.slow


async def test_both_sides_do_the_same_work_and_are_timed(endpoint: str) -> None:
    figures = await measured(endpoint, Scale(rounds=1, mib=9, small=4, callers=2))
    assert [each.bench.partition(".")[2] for each in figures] == ["upload", "download", "puts", "gets"]
    assert all(each.ours > 0 and each.rival for each in figures)
