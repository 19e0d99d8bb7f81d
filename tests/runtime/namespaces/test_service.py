from __future__ import annotations

import pytest
from tests.runtime.conftest import make

from soundstage.core.call import Call, Principal
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Forbidden, InvalidArgument, NotFound
from soundstage.core.namespace import NamespaceSpec
from soundstage.runtime.namespaces.api import (
    DeleteNamespace,
    GetNamespace,
    ListNamespaces,
    NamespaceHistory,
    Namespaces,
    PutNamespace,
)
from soundstage.runtime.stage import Stage

TEAM = Principal("team", {"team-*": ("admin",), "home": ("read",)})


@pytest.fixture
def namespaces(stage: Stage) -> Namespaces:
    return stage.client(Namespaces)


async def test_a_minimal_put_replies_with_everything_complete(namespaces: Namespaces) -> None:
    info = await namespaces.put(namespace=NamespaceSpec(name="x", abstraction="notes"))
    assert (info.version, info.managed_by, info.engines) == (1, "api", {"records": "default"})
    assert info.config["length_limit"] == 100
    assert info.config["drift_past"] == "10m"
    assert await namespaces.get(name="x") == info


async def test_lists_are_by_name_and_by_abstraction(stage: Stage, namespaces: Namespaces) -> None:
    for name in ("b", "a"):
        await make(stage, name)
    assert [info.name for info in (await namespaces.list()).namespaces] == ["a", "b", "home"]
    assert (await namespaces.list(abstraction="kv")).namespaces == []
    assert len((await namespaces.list(abstraction="notes")).namespaces) == 3


async def test_lists_are_paged(stage: Stage, namespaces: Namespaces) -> None:
    for number in range(4):
        await make(stage, f"n{number}")
    pages = [page async for page in namespaces.list.pages(page_size=2)]
    assert [[info.name for info in page.namespaces] for page in pages] == [["home", "n0"], ["n1", "n2"], ["n3"]]


async def test_a_page_token_of_another_list_is_refused(stage: Stage, namespaces: Namespaces) -> None:
    await make(stage, "b")
    token = (await namespaces.list(page_size=1)).next_page_token
    with pytest.raises(InvalidArgument) as caught:
        await namespaces.list(page_size=1, abstraction="notes", page_token=token)
    assert caught.value.field == "page_token"


async def test_history_tells_who_did_what_and_when_newest_first(
    stage: Stage, namespaces: Namespaces, environment: VirtualEnvironment
) -> None:
    await make(stage, "x")
    environment.advance(60)
    await make(stage, "x", config={"greeting": "hi ", "length_limit": 5})
    environment.advance(60)
    await namespaces.delete(name="x")
    changes = (await namespaces.history(name="x")).changes
    assert [(change.action, change.version, change.by) for change in changes] == [
        ("deleted", 3, "local"),
        ("changed", 2, "local"),
        ("created", 1, "local"),
    ]
    assert changes[1].changed == ["config.greeting", "config.length_limit"]
    assert [changes[0].at - change.at for change in changes] == [0, 60_000_000_000, 120_000_000_000]
    assert changes[1].namespace.config["greeting"] == "hi "


async def test_history_is_paged_across_generations(stage: Stage, namespaces: Namespaces) -> None:
    for _ in range(2):
        for length in (1, 2):
            await make(stage, "x", config={"length_limit": length})
        await namespaces.delete(name="x")
    pages = [page async for page in namespaces.history.pages(name="x", page_size=4)]
    actions = [[change.action for change in page.changes] for page in pages]
    assert actions == [["deleted", "changed", "created", "deleted"], ["changed", "created"]]


async def test_history_of_a_name_never_used_is_not_found(namespaces: Namespaces) -> None:
    with pytest.raises(NotFound) as caught:
        await namespaces.history(name="hom")
    assert caught.value.hint == "did you mean 'home'?"


async def test_the_caller_is_named_in_the_history(stage: Stage, namespaces: Namespaces) -> None:
    request = PutNamespace(namespace=NamespaceSpec(name="team-a", abstraction="notes"))
    await stage.dispatch("namespaces", "put", Call(principal=TEAM), request)
    assert (await namespaces.history(name="team-a")).changes[0].by == "team"


async def test_delete_replies_with_what_was_deleted(namespaces: Namespaces) -> None:
    reply = await namespaces.delete(name="home")
    assert (reply.name, reply.version) == ("home", 1)
    with pytest.raises(NotFound):
        await namespaces.get(name="home")


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("put", PutNamespace(namespace=NamespaceSpec(name="other", abstraction="notes"))),
        ("put", PutNamespace(namespace=NamespaceSpec(name="home", abstraction="notes"))),
        ("delete", DeleteNamespace(name="home")),
        ("get", GetNamespace(name="other")),
        ("history", NamespaceHistory(name="other")),
    ],
)
async def test_roles_are_per_namespace(stage: Stage, operation: str, request_: object) -> None:
    with pytest.raises(Forbidden):
        await stage.dispatch("namespaces", operation, Call(principal=TEAM), request_)


async def test_a_list_shows_what_the_caller_may_read(stage: Stage) -> None:
    for name in ("team-a", "other"):
        await make(stage, name)
    reply = await stage.dispatch("namespaces", "list", Call(principal=TEAM), ListNamespaces())
    assert [info.name for info in reply.namespaces] == ["home", "team-a"]


async def test_who_may_read_nothing_may_not_list(stage: Stage) -> None:
    nobody = Principal("nobody", {"*": ("observe",)})
    with pytest.raises(Forbidden):
        await stage.dispatch("namespaces", "list", Call(principal=nobody), ListNamespaces())
