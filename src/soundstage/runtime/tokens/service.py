"""The system `tokens`."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from soundstage.core.call import LOCAL, Access, Call
from soundstage.core.credential import TokenInfo
from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument
from soundstage.core.ids import uuid7
from soundstage.core.limits import check_namespace
from soundstage.core.pages import PageTokens
from soundstage.core.time import Instant
from soundstage.runtime.bounds import check_bounds
from soundstage.runtime.credentials import TokenStore
from soundstage.runtime.service import ServiceContext
from soundstage.runtime.tokens.api import (
    CreateToken,
    CreateTokenReply,
    ListTokens,
    ListTokensReply,
    RevokeToken,
    RevokeTokenReply,
)

audit: logging.Logger = logging.getLogger("soundstage.audit")
"""Who made and revoked which token."""

_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\*?|\*")


class TokensService:
    """Serves `TokensCalls`."""

    def __init__(self, context: ServiceContext) -> None:
        self._store: TokenStore = context.administers
        self._environment: Environment = context.environment
        self._page_tokens: PageTokens = context.page_tokens

    async def start(self) -> None:
        """There is nothing to start: the store belongs to the stage."""

    async def stop(self) -> None:
        """There is nothing to stop."""

    def scopes(self, operation: str, request: Any) -> Sequence[str]:
        """Everything: who may make tokens could otherwise give itself what it lacks."""
        return ("*",)

    async def create(self, call: Call, request: CreateToken) -> CreateTokenReply:
        _check_name(request.name)
        check_bounds(request)
        now_ns = self._environment.now_ns()
        info = TokenInfo(
            # 48 bits of milliseconds, the version, 12 bits of their fraction, 16 random bits.
            id=uuid7(self._environment).replace("-", "")[:20],
            name=request.name,
            grants=_grants(request),
            created_at=Instant(now_ns),
            created_by=call.principal.name,
            expires_at=None if request.expires_in is None else Instant(now_ns + request.expires_in),
        )
        bearer = await self._store.create(info)
        _tell("token created", info, call)
        return CreateTokenReply(bearer=bearer, info=info)

    async def list(self, call: Call, request: ListTokens) -> ListTokensReply:
        infos = self._store.infos()
        after = self._page_tokens.open_place("tokens/list", request)
        if after is not None:
            infos = [info for info in infos if info.id > after]
        page = infos[: request.page_size]
        token = None
        if len(infos) > len(page):
            token = self._page_tokens.seal_place("tokens/list", request, page[-1].id)
        return ListTokensReply(tokens=page, next_page_token=token)

    async def revoke(self, call: Call, request: RevokeToken) -> RevokeTokenReply:
        info = await self._store.revoke(request.id)
        _tell("token revoked", info, call)
        return RevokeTokenReply(info=info)


def _check_name(name: str) -> None:
    check_namespace(name, "name")
    if name == LOCAL.name:
        raise InvalidArgument(
            f"{name!r} is what logs and history call the owner of the process", field="name", hint="choose another"
        )


def _tell(what: str, info: TokenInfo, call: Call) -> None:
    audit.info(
        what, extra={"token_name": info.name, "token_id": info.id, "grants": info.grants, "by": call.principal.name}
    )


def _grants(request: CreateToken) -> dict[str, list[Access]]:
    if (request.grants is None) == (not request.roles):
        raise InvalidArgument(
            "give either roles, which hold on all of namespaces, or grants",
            field="roles" if request.grants is None else "grants",
            hint="roles are read, write, admin and observe",
        )
    grants = request.grants
    if grants is None:
        grants = {pattern: sorted(set(request.roles)) for pattern in request.namespaces or ["*"]}
    for pattern, roles in grants.items():
        if not _PATTERN.fullmatch(pattern):
            raise InvalidArgument(
                f"{pattern[:80]!r} names no namespaces",
                field="namespaces" if request.grants is None else "grants",
                hint="use a namespace's name, a prefix followed by *, or *",
            )
        if not roles:
            raise InvalidArgument(f"{pattern!r} is granted no role", field="grants", hint="name at least one role")
    if not grants:
        raise InvalidArgument("the token would allow nothing", field="grants", hint='use {"*": [...]} for all')
    return grants


SERVICE = TokensService
