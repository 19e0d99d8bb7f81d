from __future__ import annotations

from typing import Any

import pytest
from tests.runtime.conftest import OpenStage

from soundstage.core.call import Call, Principal
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Forbidden, InvalidArgument, Unauthenticated
from soundstage.core.time import Duration
from soundstage.runtime.stage import Stage
from soundstage.runtime.tokens import Tokens
from soundstage.runtime.tokens.api import CreateToken

MINUTE = 60_000_000_000


@pytest.fixture
def tokens(stage: Stage) -> Tokens:
    return stage.client(Tokens)


async def test_a_token_made_is_a_token_recognised(open_stage: OpenStage) -> None:
    async with open_stage({"auth": {"mode": "tokens"}}) as stage:
        made = await stage.client(Tokens).create(name="ci", roles=["write"], namespaces=["home", "team-*"])
        principal = stage.authenticate(f"Bearer {made.bearer}")
        assert principal == Principal("ci", {"home": ("write",), "team-*": ("write",)}, made.info.id)


async def test_roles_without_namespaces_hold_everywhere(tokens: Tokens) -> None:
    made = await tokens.create(name="ci", roles=["observe", "read", "read"])
    assert made.info.grants == {"*": ["observe", "read"]}


async def test_grants_give_each_pattern_its_own_roles(tokens: Tokens) -> None:
    made = await tokens.create(name="ci", grants={"a": ["read"], "b*": ["admin"]})
    assert made.info.grants == {"a": ["read"], "b*": ["admin"]}


async def test_the_reply_tells_who_made_it_when_and_until_when(tokens: Tokens, environment: VirtualEnvironment) -> None:
    made = await tokens.create(name="ci", roles=["read"], expires_in=Duration(MINUTE))
    assert made.info.created_by == "local"
    assert made.info.expires_at == made.info.created_at + MINUTE
    assert made.bearer.startswith(f"sst_{made.info.id}_")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "", "roles": ["read"]}, "name"),
        ({"name": "a b", "roles": ["read"]}, "name"),
        ({"name": "local", "roles": ["read"]}, "name"),
        ({"name": "ci"}, "roles"),
        ({"name": "ci", "roles": ["read"], "grants": {"*": ["read"]}}, "grants"),
        ({"name": "ci", "roles": ["read"], "namespaces": ["a*b"]}, "namespaces"),
        ({"name": "ci", "roles": ["read"], "namespaces": [""]}, "namespaces"),
        ({"name": "ci", "grants": {"**": ["read"]}}, "grants"),
        ({"name": "ci", "grants": {"a": []}}, "grants"),
        ({"name": "ci", "grants": {}}, "grants"),
        ({"name": "ci", "roles": ["read"], "expires_in": Duration(MINUTE - 1)}, "expires_in"),
        ({"name": "ci", "roles": ["read"], "expires_in": Duration(2**62)}, "expires_in"),
    ],
)
async def test_what_makes_no_sense_is_refused(tokens: Tokens, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await tokens.create(**fields)
    assert caught.value.field == field
    assert (await tokens.list()).tokens == []


async def test_lists_are_paged_in_the_order_of_creation(tokens: Tokens, environment: VirtualEnvironment) -> None:
    for number in range(5):
        environment.advance(0.01)
        await tokens.create(name=f"t{number}", roles=["read"])
    pages = [page async for page in tokens.list.pages(page_size=2)]
    assert [[token.name for token in page.tokens] for page in pages] == [["t0", "t1"], ["t2", "t3"], ["t4"]]


async def test_a_revoked_token_is_no_longer_listed_nor_let_in(open_stage: OpenStage) -> None:
    async with open_stage({"auth": {"mode": "tokens"}}) as stage:
        tokens = stage.client(Tokens)
        made = await tokens.create(name="ci", roles=["read"])
        assert (await tokens.revoke(id=made.info.id)).info == made.info
        assert (await tokens.list()).tokens == []
        with pytest.raises(Unauthenticated):
            stage.authenticate(f"Bearer {made.bearer}")


async def test_only_an_admin_of_everything_makes_tokens(stage: Stage) -> None:
    request = CreateToken(name="mine", roles=["admin"])
    for grants in ({"team-*": ("admin",)}, {"*": ("write",)}):
        with pytest.raises(Forbidden):
            await stage.dispatch("tokens", "create", Call(principal=Principal("p", grants)), request)  # type: ignore[arg-type]
    await stage.dispatch("tokens", "create", Call(principal=Principal("p", {"*": ("admin",)})), request)


async def test_a_key_is_refused_because_the_reply_is_a_secret(tokens: Tokens) -> None:
    with pytest.raises(InvalidArgument, match="holds a secret"):
        await tokens.with_options(idempotency_key="k").create(name="ci", roles=["read"])
