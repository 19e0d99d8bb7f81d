from __future__ import annotations

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Exhausted, Unavailable
from soundstage.core.namespace import Quotas
from soundstage.core.time import Duration
from soundstage.runtime.admission import Admission, Gate, Rate
from soundstage.runtime.config import AdmissionConfig

S = 1_000_000_000


def test_a_full_burst_passes_at_once_and_no_more() -> None:
    rate = Rate(10, S)
    assert [rate.take(0) for _ in range(11)] == [0] * 10 + [S // 10]


def test_the_wait_told_is_exactly_enough() -> None:
    rate = Rate(10, S)
    while not (wait := rate.take(0)):
        pass
    assert rate.take(wait - 1) == 1
    assert rate.take(wait) == 0


def test_over_a_long_time_the_rate_holds() -> None:
    rate = Rate(100, S // 10)
    taken = sum(rate.take(now) == 0 for now in range(0, 60 * S, S // 1_000))
    assert 60 * 100 <= taken <= 60 * 100 + 10


def test_what_was_refused_costs_nothing() -> None:
    rate = Rate(1, S)
    assert rate.take(0) == 0
    assert [rate.take(0) for _ in range(100)] == [S] * 100
    assert rate.take(S) == 0


def test_unused_time_is_saved_up_to_the_burst_only() -> None:
    rate = Rate(10, S)
    assert rate.take(0) == 0
    later = 3_600 * S
    assert sum(rate.take(later) == 0 for _ in range(100)) == 10


def test_a_burst_shorter_than_one_call_still_lets_one_through() -> None:
    rate = Rate(0.5, 1)
    assert rate.take(0) == 0
    assert rate.take(0) == 2 * S


def test_a_gate_without_a_quota_takes_the_stages_bound() -> None:
    gate = Gate("x", Quotas(), AdmissionConfig(namespace_in_flight=5))
    assert (gate.limit, gate.rated, gate.reads, gate.writes) == (5, False, None, None)


@pytest.mark.parametrize(("share", "limit", "reads"), [(1.0, 9, 90), (0.5, 5, 45), (0.001, 1, 1)])
def test_a_gate_of_one_of_several_processes_lets_its_share_in(share: float, limit: int, reads: int) -> None:
    gate = Gate("a", Quotas(in_flight=9, reads_per_second=90.0), AdmissionConfig(share=share))
    assert gate.reads is not None
    taken = sum(gate.reads.take(now) == 0 for now in range(0, 10 * S, S // 1_000))
    assert (gate.limit, reads * 10 <= max(taken, 10) <= reads * 20) == (limit, True)


def test_adjusting_a_gate_keeps_its_calls_counted() -> None:
    gate = Gate("x", Quotas(in_flight=2), AdmissionConfig())
    gate.in_flight = 2
    gate.adjust(Quotas(in_flight=7, reads_per_second=1), AdmissionConfig())
    assert (gate.in_flight, gate.limit, gate.rated) == (2, 7, True)


def test_a_stage_is_closed_until_it_opens(environment: VirtualEnvironment) -> None:
    admission = Admission(AdmissionConfig(in_flight=3), environment)
    assert (admission.limit, admission.closed) == (0, "the stage is starting")
    admission.open()
    assert (admission.limit, admission.closed) == (3, None)


def test_a_closed_stage_refuses_as_unavailable_with_nothing_applied(environment: VirtualEnvironment) -> None:
    admission = Admission(AdmissionConfig(), environment)
    admission.close("the stage is stopping")
    refusal = admission.refusal()
    assert isinstance(refusal, Unavailable)
    assert (refusal.detail, refusal.outcome, refusal.retryable) == ("the stage is stopping", "not_applied", True)


def test_a_full_stage_refuses_as_exhausted_with_the_time_to_wait(environment: VirtualEnvironment) -> None:
    admission = Admission(AdmissionConfig(retry_after=Duration(70_000_000)), environment)
    admission.open()
    refusal = admission.refusal()
    assert isinstance(refusal, Exhausted)
    assert (refusal.retry_after_ms, refusal.retryable, admission.refused) == (70, True, 1)


def test_a_rate_that_is_used_up_names_the_quota_and_rounds_the_wait_up(environment: VirtualEnvironment) -> None:
    admission = Admission(AdmissionConfig(), environment)
    gate = Gate("profiles", Quotas(writes_per_second=3, burst=Duration(S // 100)), AdmissionConfig())
    assert gate.writes is not None
    admission.take(gate.writes, gate)
    with pytest.raises(Exhausted, match="'profiles' is over its quota writes_per_second") as caught:
        admission.take(gate.writes, gate)
    assert caught.value.retry_after_ms == 334


def test_time_gives_the_rate_back(environment: VirtualEnvironment) -> None:
    admission = Admission(AdmissionConfig(), environment)
    gate = Gate("profiles", Quotas(reads_per_second=2), AdmissionConfig())
    assert gate.reads is not None
    admission.take(gate.reads, gate)
    admission.take(gate.reads, gate)
    environment.advance(0.5)
    admission.take(gate.reads, gate)


@pytest.mark.parametrize("per_second", [1e-300, 1e-20, 0.0, 1e-6])
def test_however_small_a_rate_is_its_wait_is_one_that_can_be_told(per_second: float) -> None:
    rate = Rate(per_second, S)
    assert rate.take(0) == 0
    assert rate.take(0) == 1_000_000 * S


def test_a_share_of_the_smallest_quota_bounds_calls_too() -> None:
    gate = Gate("x", Quotas(reads_per_second=1e-6), AdmissionConfig(share=1e-300))
    assert gate.reads is not None
    assert gate.reads.take(0) == 0


def test_what_is_charged_beyond_what_is_left_is_waited_for_by_who_comes_next() -> None:
    rate = Rate(10, S)
    rate.charge(0, 30)
    assert rate.take(0) == 2_100_000_000
    assert rate.take(2_100_000_000) == 0
