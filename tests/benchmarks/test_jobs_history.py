"""The history of jobs as it is measured, at the least size."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from benchmarks.report import Figure

from benchmarks import jobs_history
from soundstage.core.call import LOCAL


@pytest.fixture(scope="module")
def figures() -> Sequence[Figure]:
    return jobs_history.measure(jobs_history.Scale(lived=70, jobs=300, swept=100))


@pytest.mark.slow
def test_pages_the_queue_and_forgetting_are_measured(figures: Sequence[Figure]) -> None:
    assert {figure.bench.partition(".")[2] for figure in figures} == {
        *("jobs", "memory", "first_page", "deep_page", "failed", "cancelled", "running"),
        *("queue_at_start", "queue", "forgotten"),
    }
    assert all(figure.ours > 0 for figure in figures if figure.bench != "jobs_history.memory")


@pytest.mark.slow
def test_jobs_that_are_loaded_are_as_those_that_lived(tmp_path: Path) -> None:
    async def main() -> None:
        history = jobs_history.History(tmp_path / "jobs")
        await history.start()
        await history.fill(3)
        await history.load(5)
        page, last = await history.control.listed(LOCAL, None, None, None, 100)
        assert ([info.job_id for info in page], last) == (history.ids[::-1], None)
        assert [await history.store.result(job_id) for job_id in history.ids] == [b"result"] * 8
        assert await history.store.open() == []
        await history.engine.stop()

    asyncio.run(main())
