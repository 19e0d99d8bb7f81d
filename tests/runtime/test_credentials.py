from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from soundstage.core.call import Principal
from soundstage.core.credential import TokenInfo
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import AlreadyExists, Exhausted, NotFound, Unauthenticated, Unavailable
from soundstage.core.hlc import TokenClock
from soundstage.core.time import Instant
from soundstage.engines.records.memory import MemoryRecords
from soundstage.engines.records.port import Stamp
from soundstage.runtime.credentials import TokenStore
from soundstage.runtime.system_table import Entry, SystemTable


@pytest.fixture
async def table(environment: VirtualEnvironment) -> SystemTable:
    engine = MemoryRecords(environment)
    await engine.start()
    table = SystemTable(engine, "tokens", TokenClock(environment), environment)
    await table.create()
    return table


@pytest.fixture
def store(table: SystemTable, environment: VirtualEnvironment) -> TokenStore:
    return TokenStore(table, environment, limit=3)


class Behind(TokenStore):
    """Of a process that does not see what others did, since it looks a moment too soon."""

    follows = True

    async def _follow(self) -> None:
        if self.follows:
            await super()._follow()


class Unanswering(SystemTable):
    """Writes what it is told to, and does not say so the first time."""

    def __init__(self, table: SystemTable) -> None:
        self.__dict__.update(table.__dict__)
        self._silent = True

    async def write(self, *what: Any, **how: Any) -> Stamp:
        stamp = await super().write(*what, **how)
        if self._silent:
            self._silent = False
            raise Unavailable("the answer was lost", outcome="unknown")
        return stamp


class Reading(SystemTable):
    """Stops behind its first reading until it may go on."""

    def __init__(self, table: SystemTable) -> None:
        self.__dict__.update(table.__dict__)
        self.has_read = asyncio.Event()
        self.go_on = asyncio.Event()

    async def read(self, *what: Any, **how: Any) -> dict[str, Entry]:
        found = await super().read(*what, **how)
        self.has_read.set()
        await self.go_on.wait()
        return found


def info(name: str = "ci", id: str = "00aa", expires_at: int | None = None) -> TokenInfo:
    return TokenInfo(
        id=id,
        name=name,
        grants={"home": ["read", "write"]},
        created_at=Instant(1),
        created_by="local",
        expires_at=None if expires_at is None else Instant(expires_at),
    )


async def test_a_token_is_known_again_with_its_grants(store: TokenStore) -> None:
    token = await store.create(info())
    assert store.recognise(token) == Principal("ci", {"home": ("read", "write")}, "00aa")


async def test_a_token_shows_its_id_and_hides_much(store: TokenStore) -> None:
    prefix, id, secret = (await store.create(info())).split("_", 2)
    assert (prefix, id) == ("sst", "00aa")
    assert len(secret) == 43


async def test_what_is_stored_does_not_hold_the_secret(store: TokenStore, table: SystemTable) -> None:
    token = await store.create(info())
    entries = await table.read("tokens", "t/")
    secret = token.split("_", 2)[2]
    assert all(secret.encode() not in entry.value for entry in entries.values())


async def test_two_tokens_differ(store: TokenStore) -> None:
    first = await store.create(info("a", "01"))
    second = await store.create(info("b", "02"))
    assert first.split("_", 2)[2] != second.split("_", 2)[2]


async def test_every_other_text_is_refused_alike(store: TokenStore) -> None:
    token = await store.create(info())
    other = await store.create(info("other", "00bb"))
    wrong = [
        "",
        "sst",
        "sst__",
        "sst_00aa_",
        token[:-1],
        token + "A",
        token.replace("sst_", "xyz_"),
        token.replace("00aa", "00ff"),
        token.replace("00aa", "00bb"),
        "sst_00aa_" + other.split("_", 2)[2],
        "sst_00aa_ü",
        "sst_00aa_" + "A" * 43,
        "\0",
    ]
    seen: set[str] = set()
    for text in wrong:
        with pytest.raises(Unauthenticated) as caught:
            store.recognise(text)
        seen.add(str(caught.value))
    assert len(seen) == 1


async def test_a_refusal_does_not_repeat_the_token(store: TokenStore) -> None:
    token = (await store.create(info()))[:-2] + "xx"
    with pytest.raises(Unauthenticated) as caught:
        store.recognise(token)
    assert "00aa" not in str(caught.value.problem())


async def test_an_expired_token_is_refused_from_that_moment(store: TokenStore, environment: VirtualEnvironment) -> None:
    token = await store.create(info(expires_at=environment.now_ns() + 10))
    store.recognise(token)
    environment.advance(1e-8)
    with pytest.raises(Unauthenticated):
        store.recognise(token)


@pytest.mark.parametrize("by", ["00aa", "ci"])
async def test_a_revoked_token_is_refused(store: TokenStore, by: str) -> None:
    token = await store.create(info())
    assert (await store.revoke(by)).name == "ci"
    with pytest.raises(Unauthenticated):
        store.recognise(token)
    with pytest.raises(NotFound):
        await store.revoke(by)


async def test_names_are_unique_and_free_again(store: TokenStore) -> None:
    await store.create(info())
    with pytest.raises(AlreadyExists) as caught:
        await store.create(info(id="00bb"))
    assert caught.value.field == "name"
    await store.revoke("ci")
    await store.create(info(id="00bb"))


async def test_there_are_only_so_many(store: TokenStore) -> None:
    for number in range(3):
        await store.create(info(f"t{number}", f"0{number}"))
    with pytest.raises(Exhausted, match="3 tokens, its limit"):
        await store.create(info("more", "09"))


async def test_another_process_follows(table: SystemTable, store: TokenStore, environment: VirtualEnvironment) -> None:
    other = TokenStore(table, environment, limit=3)
    token = await store.create(info())
    with pytest.raises(Unauthenticated):
        other.recognise(token)
    await other.follow()
    assert other.recognise(token).name == "ci"
    await store.revoke("ci")
    await other.follow()
    with pytest.raises(Unauthenticated):
        other.recognise(token)


@pytest.mark.parametrize(("follows", "said"), [(True, "there is no token"), (False, "revoked already")])
async def test_a_token_that_another_process_revoked_is_not_found(
    table: SystemTable, store: TokenStore, environment: VirtualEnvironment, follows: bool, said: str
) -> None:
    other = Behind(table, environment, limit=3)
    await store.create(info())
    await other.follow()
    await store.revoke("ci")
    other.follows = follows
    with pytest.raises(NotFound, match=said):
        await other.revoke("ci")


async def test_of_two_processes_that_use_a_name_at_once_one_has_it(
    table: SystemTable, store: TokenStore, environment: VirtualEnvironment
) -> None:
    other = Behind(table, environment, limit=3)
    await other.follow()
    await store.create(info())
    other.follows = False
    with pytest.raises(AlreadyExists) as caught:
        await other.create(info(id="00bb"))
    assert caught.value.field == "name"
    await store.follow()
    assert [each.id for each in store.infos()] == ["00aa"]


async def test_a_name_that_another_process_freed_is_free(
    table: SystemTable, store: TokenStore, environment: VirtualEnvironment
) -> None:
    other = TokenStore(table, environment, limit=3)
    await store.create(info())
    await other.follow()
    await store.revoke("ci")
    await other.create(info(id="00bb"))
    assert [each.id for each in other.infos()] == ["00bb"]


async def test_a_token_whose_creation_was_not_answered_is_known_when_its_name_is_asked_for_again(
    table: SystemTable, environment: VirtualEnvironment
) -> None:
    store = TokenStore(Unanswering(table), environment, limit=3)
    with pytest.raises(Unavailable):
        await store.create(info())
    assert store.infos() == []
    with pytest.raises(AlreadyExists):
        await store.create(info(id="00bb"))
    assert (await store.revoke("ci")).id == "00aa"


async def test_following_while_a_token_is_revoked_does_not_bring_it_back(
    table: SystemTable, environment: VirtualEnvironment
) -> None:
    slow = Reading(table)
    store = TokenStore(slow, environment, limit=3)
    token = await store.create(info())
    following = asyncio.ensure_future(store.follow())
    await slow.has_read.wait()
    revoking = asyncio.ensure_future(store.revoke("ci"))
    await asyncio.sleep(0)
    slow.go_on.set()
    await asyncio.gather(following, revoking)
    with pytest.raises(Unauthenticated):
        store.recognise(token)


async def test_tokens_are_listed_in_the_order_of_their_ids(store: TokenStore) -> None:
    for id in ("03", "01", "02"):
        await store.create(info(f"t{id}", id))
    assert [each.id for each in store.infos()] == ["01", "02", "03"]


async def test_a_principal_is_checked_against_the_token_it_came_with(store: TokenStore) -> None:
    principal = store.recognise(await store.create(info("bob")))
    store.check(principal)
    await store.revoke("bob")
    await store.create(info("bob", id="another"))
    with pytest.raises(Unauthenticated):
        store.check(principal)


SPOILS: list[Callable[[Any], object]] = [
    lambda raw: raw["info"].update(grants={"*": ["bogus"]}),
    lambda raw: raw["info"].update(grants={"*": "read"}),
    lambda raw: raw.pop("hash"),
    lambda raw: raw.clear(),
]


@pytest.mark.parametrize("spoil", SPOILS)
async def test_a_stored_token_that_cannot_be_read_is_refused_and_the_others_serve(
    table: SystemTable, store: TokenStore, environment: VirtualEnvironment, spoil: Callable[[Any], object]
) -> None:
    good, bad = await store.create(info("good")), await store.create(info("bad", "00bb"))
    [_, id, _] = bad.split("_", 2)
    entry = await table.get("tokens", f"t/{id}")
    assert entry is not None
    raw = msgspec.msgpack.decode(entry.value)
    spoil(raw)
    await table.write("tokens", {f"t/{id}": msgspec.msgpack.encode(raw)}, {f"t/{id}": entry.stamp})
    found = TokenStore(table, environment, limit=3)
    await found.follow()
    assert found.recognise(good).name == "good"
    with pytest.raises(Unauthenticated):
        found.recognise(bad)
    await found.revoke(id)
    assert [each.name for each in found.infos()] == ["good"]
