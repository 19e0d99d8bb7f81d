from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from tests.testing.simulation.theatre import at_play, at_site, noted

from soundstage.runtime.leases import Lease, Leases
from soundstage.testing.simulation.climate import Climate
from soundstage.testing.simulation.leases import Act, Holders, LeasesPlay, LeaseStep
from soundstage.testing.simulation.process import Process
from soundstage.testing.simulation.scenario import Divergence, Site

T = TypeVar("T")


def played(body: Callable[[Site, LeasesPlay], Awaitable[T]]) -> T:
    return at_play(LeasesPlay, body, climate=Climate(clients=2))


def step(act: Act, number: int = 1, client: int = 0, **choices: Any) -> LeaseStep:
    return LeaseStep(number=number, client=client, act=act, name="one", ttl_s=2.0, **choices)


@pytest.mark.parametrize(
    ("steps", "situations"),
    [
        ([step("take")], {"taken"}),
        ([step("take"), step("renew")], {"taken", "renewed"}),
        ([step("take"), step("take", client=1)], {"taken", "had_by_another"}),
        ([step("take"), step("write")], {"taken", "wrote"}),
        ([step("write"), step("renew"), step("release")], set()),
        ([step("take"), step("release"), step("take", client=1)], {"taken", "released"}),
        ([step("hold")], {"held_long"}),
        ([step("take"), step("hold", client=1)], {"taken", "had_by_another"}),
        ([step("wait")], {"taken", "wrote"}),
        ([step("take"), step("wait", client=1)], {"taken", "wrote", "had_by_another"}),
        ([step("take"), step("clock", skew_s=9_000.0), step("renew")], {"taken", "renewed"}),
        ([step("take"), step("pause", for_s=30.0), step("renew")], {"taken", "lost"}),
        ([step("take"), step("pause", for_s=30.0), step("write")], {"taken", "lost"}),
        ([step("take"), step("kill", client=1), step("renew")], {"taken"}),
        ([step("take"), step("kill", client=1), step("wait", client=1)], {"taken", "wrote", "had_by_another"}),
    ],
)
def test_acts_are_explained(steps: list[LeaseStep], situations: set[str]) -> None:
    async def body(site: Site, playing: LeasesPlay) -> set[str]:
        for each in steps:
            await playing.play(each)
        seen = set(noted()) - {"taken_from_the_dead"}
        await playing.settle()
        return seen

    assert played(body) == situations


def test_a_lease_of_the_dead_is_taken() -> None:
    async def body(site: Site, playing: LeasesPlay) -> set[str]:
        await playing.play(step("take"))
        await playing.play(step("kill", client=1))
        await playing.play(step("wait", client=1))
        return set(noted())

    assert "taken_from_the_dead" in played(body)


def test_a_process_that_was_stopped_behind_its_look_is_fenced_out() -> None:
    async def body(site: Site, playing: LeasesPlay) -> set[str]:
        await playing.play(step("take"))
        writing = site.loop.create_task(playing.play(step("write", stalled_s=60.0)))
        await site.environment.sleep(1)
        await playing.play(step("wait", client=1))
        await writing
        return set(noted())

    assert "fenced_out" in played(body)


class Always(Lease):
    """One whose holder never gives it up."""

    def __init__(self, fence: int, held: bool = True) -> None:
        self.fence = fence
        self._always = held

    @property
    def held(self) -> bool:
        return self._always


def with_processes(body: Callable[[Holders, Process, Process], None]) -> None:
    async def main(site: Site) -> None:
        first, second = site.add_process(), site.add_process()
        first.begin()
        second.begin()
        body(Holders("one"), first, second)

    at_site(main)


def test_two_holders_at_one_instant_are_found_out() -> None:
    def body(holders: Holders, first: Process, second: Process) -> None:
        holders.taken(first, Always(1), 0)
        with pytest.raises(Divergence, match="held by process 0/1 with the fence 1 and process 1/1 with the fence 2"):
            holders.taken(second, Always(2), 1)

    with_processes(body)


def test_a_holder_that_gave_up_is_no_other_holder() -> None:
    def body(holders: Holders, first: Process, second: Process) -> None:
        holders.taken(first, Always(1, held=False), 0)
        holders.taken(second, Always(2), 1)
        assert holders.greatest == 2

    with_processes(body)


def test_a_dead_holder_is_no_other_holder() -> None:
    def body(holders: Holders, first: Process, second: Process) -> None:
        holders.taken(first, Always(1), 0)
        first.kill()
        holders.taken(second, Always(2), 1)
        first.begin()
        holders.check()
        assert holders.greatest == 2

    with_processes(body)


@pytest.mark.parametrize(("fence", "before"), [(3, 0), (2, 3), (3, 3)])
def test_a_fence_that_does_not_grow_is_found_out(fence: int, before: int) -> None:
    def body(holders: Holders, first: Process, second: Process) -> None:
        holders.taken(first, Always(3, held=False), 0)
        with pytest.raises(Divergence, match="was given with the fence"):
            holders.taken(second, Always(fence), before)

    with_processes(body)


def test_a_write_under_an_older_fence_is_found_out() -> None:
    holders = Holders("one")
    holders.wrote(1, 0)
    holders.wrote(2, 1)
    with pytest.raises(Divergence, match="under the fence 1 of one was let in after 2"):
        holders.wrote(1, holders.written)


def test_a_write_that_was_sent_before_the_greater_one_ended_may_be_let_in() -> None:
    holders = Holders("one")
    holders.wrote(2, 0)
    holders.wrote(1, 0)
    assert holders.written == 2


async def never(*_: object) -> None:
    return None


def test_a_name_that_nobody_can_have_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(site: Site, playing: LeasesPlay) -> None:
        monkeypatch.setattr(Leases, "take", never)
        await playing.settle()

    with pytest.raises(Divergence, match="nobody uses one, and process 0/1 still waits for it"):
        played(body)


def test_who_never_has_its_turn_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(site: Site, playing: LeasesPlay) -> None:
        right = Leases.while_held

        async def unfair(leases: Leases, *args: Any) -> Any:
            return None if leases.holder == "process 1/1" else await right(leases, *args)

        monkeypatch.setattr(Leases, "while_held", unfair)
        await playing.settle()

    with pytest.raises(Divergence, match=r"\['process 1/1'\] have waited for one"):
        played(body)


def test_work_that_loses_its_lease_for_no_reason_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(site: Site, playing: LeasesPlay) -> None:
        monkeypatch.setattr(Lease, "renew", never)
        await playing.play(step("hold"))

    with pytest.raises(Divergence, match="lost one while nothing was wrong"):
        played(body)
