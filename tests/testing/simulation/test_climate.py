from __future__ import annotations

from random import Random

import msgspec

from soundstage.testing.simulation.climate import CLIENTS_MAX, FAIR, Climate, draw_climate
from soundstage.testing.simulation.faults import HEALTHY
from soundstage.testing.simulation.network import QUIET


def drawn(takes_parts: bool = True) -> list[Climate]:
    return [draw_climate(Random(seed), takes_parts) for seed in range(300)]


def test_one_seed_is_one_climate() -> None:
    assert draw_climate(Random(5), True) == draw_climate(Random(5), True)


def test_a_fair_climate_has_no_fault() -> None:
    assert (FAIR.port, FAIR.network, FAIR.skew_s, FAIR.busy_s) == (HEALTHY, QUIET, 0.0, 0.0)


def test_every_fault_is_drawn_at_times_and_left_out_at_others() -> None:
    for part in ("port", "network"):
        for name in msgspec.structs.asdict(getattr(FAIR, part)):
            values = [getattr(getattr(climate, part), name) for climate in drawn()]
            assert len(set(values)) > 1, name
            assert name.endswith("_s") or 0.0 in values, name


def test_batches_are_applied_in_part_only_where_the_port_allows_it() -> None:
    assert any(climate.port.partial for climate in drawn(takes_parts=True))
    assert not any(climate.port.partial for climate in drawn(takes_parts=False))


def test_at_least_two_clients_work_side_by_side() -> None:
    assert {climate.clients for climate in drawn()} == set(range(2, CLIENTS_MAX + 1))


def test_clocks_are_off_by_less_than_what_doors_believe() -> None:
    assert max(climate.skew_s for climate in drawn()) < 2.0
