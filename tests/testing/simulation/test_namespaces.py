from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import pytest
from tests.testing.simulation.theatre import at_site, noted

from soundstage.core.errors import NotFound
from soundstage.core.namespace import NamespaceChange, NamespaceInfo, Quotas
from soundstage.core.time import Instant
from soundstage.runtime.namespaces.api import NamespaceEvent
from soundstage.testing.simulation.faults import FaultRates
from soundstage.testing.simulation.namespaces import (
    HALF_WAY,
    Act,
    Delete,
    Look,
    NamespacesPlay,
    NamespaceStep,
    Put,
    Request,
    State,
    model,
)
from soundstage.testing.simulation.scenario import Divergence, Site

T = TypeVar("T")


@pytest.mark.parametrize(
    ("state", "request_", "after", "answer"),
    [
        (None, Put(7, None), (1, 7), ("at", 1, 7)),
        (None, Put(7, 0), (1, 7), ("at", 1, 7)),
        (None, Put(7, 3), None, "other_version"),
        ((3, 5), Put(7, None), (4, 7), ("at", 4, 7)),
        ((3, 5), Put(7, 3), (4, 7), ("at", 4, 7)),
        ((3, 5), Put(7, 2), (3, 5), "other_version"),
        ((3, 5), Put(7, 0), (3, 5), "exists"),
        ((3, 5), Put(5, None), (3, 5), ("at", 3, 5)),
        ((3, 5), Put(5, 2), (3, 5), ("at", 3, 5)),
        ((3, 5), Put(5, 1), (3, 5), "other_version"),
        (None, Delete(None), None, "not_found"),
        ((3, 5), Delete(None), None, ("deleted", 3)),
        ((3, 5), Delete(3), None, ("deleted", 3)),
        ((3, 5), Delete(2), (3, 5), "other_version"),
        (None, Look(), None, "not_found"),
        ((3, 5), Look(), (3, 5), ("at", 3, 5)),
    ],
)
def test_the_model_says_what_the_reference_says(state: State, request_: Request, after: State, answer: Any) -> None:
    told = [(next, said) for next, said in model(state, request_) if said != "half_way"]
    assert told == [(after, answer)]


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (Put(7, None), [((1, 7), ("at", 1, 7))]),
        (Delete(None), [((3, HALF_WAY), "not_found"), (None, ("deleted", 3))]),
        (Delete(3), [((3, HALF_WAY), "not_found"), (None, ("deleted", 3))]),
        (Delete(2), [((3, HALF_WAY), "not_found"), ((3, HALF_WAY), "other_version")]),
    ],
)
def test_a_deletion_that_nobody_heard_of_may_be_finished_by_another(request_: Request, told: Any) -> None:
    assert ((3, HALF_WAY), "half_way") in list(model((3, 5), Delete(None)))
    assert list(model((3, HALF_WAY), request_)) == told


def played(body: Callable[[Site, NamespacesPlay], Awaitable[T]]) -> T:
    async def main(site: Site) -> T:
        return await body(site, NamespacesPlay(site))

    return at_site(main)


def step(act: Act, number: int = 1, name: str = "one", **choices: Any) -> NamespaceStep:
    return NamespaceStep(number=number, client=0, act=act, name=name, **choices)


async def play(playing: NamespacesPlay, *acts: Act) -> set[str]:
    """The situations that the acts, played one after the other, got into."""
    for number, act in enumerate(acts, 1):
        await playing.play(step(act, number))
    return noted()


@pytest.mark.parametrize(
    ("acts", "situations"),
    [
        (("put", "get"), {"created"}),
        (("put", "put_next", "put_same", "list"), {"created", "changed"}),
        (("put", "put_new"), {"created", "outdated"}),
        (("put", "put_next", "put_late"), {"created", "changed", "outdated"}),
        (("put", "delete", "get", "history"), {"created", "deleted"}),
        (("put", "delete_known", "put_new"), {"created", "deleted"}),
        (("delete",), {"outdated"}),
        (("put", "put_next", "repeat"), {"created", "changed", "repeated"}),
        (("repeat", "history", "poll"), {"polled"}),
    ],
)
def test_acts_are_explained(acts: tuple[Act, ...], situations: set[str]) -> None:
    async def body(site: Site, playing: NamespacesPlay) -> set[str]:
        found = set(await play(playing, *acts))
        await playing.settle()
        return found

    assert played(body) == situations


def test_a_change_that_nobody_knows_of_may_show_later() -> None:
    async def body(site: Site, playing: NamespacesPlay) -> set[str]:
        await play(playing, "put")
        site.host.engine.spared = frozenset()
        site.host.set_rates(FaultRates(lost_after=0.9))
        for number in range(2, 30):
            await playing.play(step("put", number))
            await playing.play(step("get", number))
        site.host.set_rates(FaultRates())
        await playing.settle()
        return noted()

    assert "uncertain" in played(body)


def lie_to(site: Site, lie: Callable[[Any], Any]) -> None:
    """Every client is told what `lie` makes of each answer."""
    honest = site.machine(0)

    class Way:
        async def invoke(self, *call: Any) -> Any:
            return lie(await honest.invoke(*call))

    site.client = lambda number, face, namespace="": face(Way(), namespace)  # type: ignore[assignment, method-assign]


def changed(**parts: Any) -> Callable[[Any], Any]:
    return lambda reply: msgspec.structs.replace(reply, **parts)


def gone(reply: Any) -> Any:
    raise NotFound("gone")


@pytest.mark.parametrize(
    ("act", "lie", "said"),
    [
        ("put_next", changed(version=7), "answered with"),
        ("get", changed(version=7), "answered with"),
        ("get", gone, "not_found"),
        ("delete", changed(version=7), "answered with"),
        ("list", changed(namespaces=[]), "not_found"),
        ("history", changed(changes=[]), "lacks"),
        ("history", gone, "has no history"),
        ("repeat", changed(version=7), "the repetition of"),
    ],
)
def test_a_control_plane_that_lies_is_found_out(act: Act, lie: Callable[[Any], Any], said: str) -> None:
    async def body(site: Site, playing: NamespacesPlay) -> None:
        await play(playing, "put")
        lie_to(site, lie)
        await playing.play(step(act, 2))

    with pytest.raises(Divergence, match=said):
        played(body)


def test_a_list_out_of_order_is_found_out() -> None:
    async def body(site: Site, playing: NamespacesPlay) -> None:
        for number, name in enumerate(("one", "other"), 1):
            await playing.play(step("put", number, name))
        lie_to(site, lambda reply: msgspec.structs.replace(reply, namespaces=reply.namespaces[::-1]))
        await playing.play(step("list", 3))

    with pytest.raises(Divergence, match="the list of namespaces is"):
        played(body)


@pytest.mark.parametrize("clients", [(0, 0), (0, 1)])
def test_who_follows_the_changes_is_told_each_once(clients: tuple[int, int]) -> None:
    async def body(site: Site, playing: NamespacesPlay) -> set[str]:
        for number, act in enumerate(("put", "watch", "put", "delete", "put", "watch"), 1):
            client = clients[number > 3] if act == "watch" else 0
            await playing.play(NamespaceStep(number=number, client=client, act=act, name="one"))  # type: ignore[arg-type]
        await playing.settle()
        return noted()

    assert "followed" in played(body)


def event(at: int, version: int = 1) -> NamespaceEvent:
    info = NamespaceInfo(
        name="one",
        abstraction="kv",
        engines={},
        config={},
        slos={},
        quotas=Quotas(),
        version=version,
        generation=1,
        managed_by="api",
        created_at=Instant(1),
        updated_at=Instant(1),
    )
    change = NamespaceChange(
        version=version, generation=1, at=Instant(1), by="local", action="created", changed=[], namespace=info
    )
    return NamespaceEvent(cursor=f"{at}", change=change)


@pytest.mark.parametrize("at", [3, 4, 6])
def test_a_feed_that_leaves_out_or_repeats_is_found_out(at: int) -> None:
    async def body(site: Site, playing: NamespacesPlay) -> None:
        playing.tell(4, event(at))

    with pytest.raises(Divergence, match=f"told of {at} after 4"):
        played(body)


def test_a_feed_that_tells_everybody_something_else_is_found_out() -> None:
    async def body(site: Site, playing: NamespacesPlay) -> None:
        assert playing.tell(4, event(5)) == 5
        playing.tell(4, event(5, version=2))

    with pytest.raises(Divergence, match="the change 5 was told as"):
        played(body)


def test_a_change_that_the_feed_never_tells_of_is_found_out() -> None:
    async def body(site: Site, playing: NamespacesPlay) -> None:
        await playing.play(step("put", 1))
        lie_about_changes(site)
        await playing.settle()

    with pytest.raises(Divergence, match="the feed of changes never told of"):
        played(body)


def lie_about_changes(site: Site) -> None:
    async def nothing(*_: object) -> AsyncGenerator[Any]:
        for each in ():
            yield each

    site.host.stage.follow = nothing  # type: ignore[method-assign, assignment]
