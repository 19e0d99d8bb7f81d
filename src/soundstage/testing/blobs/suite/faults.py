"""What a disk refuses, or a caller gives up at the disk, is what it answered."""

from __future__ import annotations

import os
from typing import ClassVar

import pytest

from soundstage.engines.blobs.port import Blobs
from soundstage.testing.blobs.calls import attempted, cancelled, content_of, put, read, state
from soundstage.testing.blobs.disk import STEPS, Step, holding, refusing


class Faults:
    goes_on_unheard: ClassVar[bool] = False
    """See `BlobsSuite`."""

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("nth", [1, 2, 3])
    @pytest.mark.parametrize("step", STEPS)
    async def test_a_put_that_the_disk_refuses_is_what_it_answered(
        self, blobs: Blobs, step: Step, nth: int, after: bool
    ) -> None:
        await put(blobs, "a", b"old")
        with refusing(step, nth, after=after):
            outcome = await attempted(put(blobs, "a", b"new"))
        allowed = {"applied": [b"new"], "not_applied": [b"old"]}.get(outcome, [b"old", b"new"])
        assert await state(blobs, "a") in allowed
        await blobs.stop()
        await blobs.start()
        assert await state(blobs, "a") in allowed

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("nth", [1, 2])
    @pytest.mark.parametrize("step", STEPS)
    async def test_a_delete_that_the_disk_refuses_is_what_it_answered(
        self, blobs: Blobs, step: Step, nth: int, after: bool
    ) -> None:
        await put(blobs, "a", b"old")
        with refusing(step, nth, after=after):
            outcome = await attempted(blobs.delete("a"))
        allowed = {"applied": [None], "not_applied": [b"old"]}.get(outcome, [None, b"old"])
        assert await state(blobs, "a") in allowed
        await blobs.stop()
        await blobs.start()
        assert await state(blobs, "a") in allowed

    @pytest.mark.parametrize("nth", [1, 2, 3])
    @pytest.mark.parametrize("step", STEPS)
    async def test_a_put_that_is_cancelled_at_the_disk_is_there_or_not_and_stays_so(
        self, blobs: Blobs, step: Step, nth: int
    ) -> None:
        await put(blobs, "a", b"old")
        with holding(step, nth) as held:
            await cancelled(put(blobs, "a", b"new"), held)
        found = await state(blobs, "a")
        assert found in (b"old", b"new")
        await blobs.stop()
        await blobs.start()
        assert self.goes_on_unheard or await state(blobs, "a") == found

    @pytest.mark.parametrize("nth", [1, 2])
    @pytest.mark.parametrize("step", STEPS)
    async def test_a_delete_that_is_cancelled_at_the_disk_is_done_or_not_and_stays_so(
        self, blobs: Blobs, step: Step, nth: int
    ) -> None:
        await put(blobs, "a", b"old")
        with holding(step, nth) as held:
            await cancelled(blobs.delete("a"), held)
        found = await state(blobs, "a")
        await blobs.stop()
        await blobs.start()
        assert self.goes_on_unheard or await state(blobs, "a") == found

    async def test_a_read_that_is_cancelled_at_the_disk_leaves_nothing_open(self, blobs: Blobs) -> None:
        await put(blobs, "a", content_of(300_000))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            with holding("open", 1) as held:
                await cancelled(read(blobs, "a"), held)
        assert len(os.listdir("/proc/self/fd")) < before + 10
