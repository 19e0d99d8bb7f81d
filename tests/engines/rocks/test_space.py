from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.rocks.space import CHECK_EVERY_BYTES, RESERVE_MAX_BYTES, RESERVE_SHARE, LowWater

MARK = 1_000_000


class Tank:
    """A disk with `free` bytes, and how often it was asked."""

    def __init__(self) -> None:
        self.free = 10 * MARK
        self.asked = 0
        self.error: OSError | None = None

    def probe(self, folder: str) -> int:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.free


@pytest.fixture
def tank() -> Tank:
    return Tank()


@pytest.fixture
def low_water(tank: Tank, environment: VirtualEnvironment) -> LowWater:
    return LowWater("/data", MARK, environment, tank.probe)


def test_a_write_passes_while_there_is_room(low_water: LowWater) -> None:
    low_water.check(100)


def test_a_write_is_refused_below_the_mark_with_the_figures_and_what_to_do(low_water: LowWater, tank: Tank) -> None:
    tank.free = MARK - 1
    with pytest.raises(Unavailable, match="999999 bytes left; the low-water mark is 1000000") as caught:
        low_water.check(1)
    assert (caught.value.outcome, caught.value.retryable) == ("not_applied", True)
    assert "deletes are still taken" in str(caught.value.hint)


def test_a_write_is_refused_that_would_reach_below_the_mark(low_water: LowWater, tank: Tank) -> None:
    tank.free = MARK + 100
    with pytest.raises(Unavailable):
        low_water.check(101)


def test_a_write_up_to_the_mark_passes(low_water: LowWater, tank: Tank) -> None:
    tank.free = MARK + 100
    low_water.check(100)


def test_the_stages_own_writes_pass_below_the_mark_down_to_an_eighth_of_it(low_water: LowWater, tank: Tank) -> None:
    tank.free = MARK // RESERVE_SHARE + 100
    low_water.check(100, own=True)
    tank.free -= 1
    with pytest.raises(Unavailable, match="low-water mark"):
        low_water.check(100, own=True)


def test_the_reserve_stays_small_below_a_high_mark(environment: VirtualEnvironment, tank: Tank) -> None:
    tank.free = RESERVE_MAX_BYTES + 1
    LowWater("/data", 1 << 40, environment, tank.probe).check(1, own=True)


def test_the_stages_own_writes_do_not_open_the_way_for_others(low_water: LowWater, tank: Tank) -> None:
    tank.free = MARK - 1
    low_water.check(1, own=True)
    with pytest.raises(Unavailable):
        low_water.check(1)


def test_there_is_no_warning_while_there_is_room(low_water: LowWater) -> None:
    assert low_water.warning is None


def test_the_warning_comes_and_goes_with_the_free_space_and_without_any_write(low_water: LowWater, tank: Tank) -> None:
    tank.free = MARK - 1
    warned = low_water.warning
    assert warned == "writes are refused: the disk of /data has 999999 bytes left; the low-water mark is 1000000"
    tank.free = MARK
    assert low_water.warning is None


def test_a_disk_that_cannot_be_asked_is_a_warning(low_water: LowWater, tank: Tank) -> None:
    tank.error = OSError("gone")
    assert "/data cannot be used: gone" in str(low_water.warning)


def test_the_disk_is_not_asked_at_every_write(low_water: LowWater, tank: Tank) -> None:
    for _ in range(1_000):
        low_water.check(100)
    assert tank.asked == 1


def test_the_disk_is_asked_again_after_a_second(
    low_water: LowWater, tank: Tank, environment: VirtualEnvironment
) -> None:
    low_water.check(100)
    tank.free = 0
    environment.advance(0.9)
    low_water.check(100)
    environment.advance(0.1)
    with pytest.raises(Unavailable):
        low_water.check(100)


def test_the_disk_is_asked_again_after_so_many_bytes(environment: VirtualEnvironment, tank: Tank) -> None:
    tank.free = 100 * CHECK_EVERY_BYTES
    low_water = LowWater("/data", MARK, environment, tank.probe)
    low_water.check(CHECK_EVERY_BYTES - 1)
    tank.free = 0
    with pytest.raises(Unavailable):
        low_water.check(1)


def test_what_was_written_since_the_disk_was_asked_counts(low_water: LowWater, tank: Tank) -> None:
    tank.free = MARK + 1_000
    for _ in range(10):
        low_water.check(100)
        tank.free -= 100
    with pytest.raises(Unavailable):
        low_water.check(100)


def test_writes_pass_again_at_once_when_space_was_freed(low_water: LowWater, tank: Tank) -> None:
    tank.free = 0
    with pytest.raises(Unavailable):
        low_water.check(100)
    tank.free = 10 * MARK
    low_water.check(100)


def test_refused_writes_do_not_use_up_space(low_water: LowWater, tank: Tank) -> None:
    tank.free = MARK + 100
    for _ in range(3):
        with pytest.raises(Unavailable):
            low_water.check(200)
    low_water.check(100)


def test_no_mark_refuses_nothing_but_what_does_not_fit(environment: VirtualEnvironment, tank: Tank) -> None:
    tank.free = 50
    low_water = LowWater("/data", 0, environment, tank.probe)
    low_water.check(50)
    with pytest.raises(Unavailable):
        low_water.check(51)


def test_a_disk_that_cannot_be_asked_is_unavailable(low_water: LowWater, tank: Tank) -> None:
    tank.error = FileNotFoundError(2, "No such file or directory")
    with pytest.raises(Unavailable, match=r"/data cannot be used: .*No such file"):
        low_water.check(1)
