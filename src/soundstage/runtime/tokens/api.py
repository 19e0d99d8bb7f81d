"""The messages and operations of `tokens`."""

# pyright: reportReturnType=false
# The body of a declared operation never runs.

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from soundstage.core.call import Access
from soundstage.core.credential import TokenInfo
from soundstage.core.errors import AlreadyExists, Exhausted, NotFound
from soundstage.core.message import Duration, Name, PageSize, PageToken
from soundstage.core.operation import AsyncFace, SyncFace, operation


class CreateToken(msgspec.Struct, frozen=True, kw_only=True):
    """Grants `roles` on every one of `namespaces` (names, a `prefix*`, or `*`; none: all), or else `grants`.

    `expires_in` is between a minute and ten years; without it the token lives until it is revoked.
    """

    name: Annotated[Name, Meta(description="what logs and history call its bearer")]
    roles: Annotated[list[Access], Meta(description="what it allows: read, write, observe, admin")] = []
    namespaces: Annotated[list[str], Meta(description="where: names, a `prefix*` or `*`; none: everywhere")] = []
    grants: Annotated[dict[str, list[Access]] | None, Meta(description="roles by namespace, instead of the two")] = None
    expires_in: Annotated[
        Duration | None,
        Meta(description="how long it works; none: until it is revoked", extra={"bounds": ("1m", "3650d")}),
    ] = None


class CreateTokenReply(msgspec.Struct, frozen=True, kw_only=True):
    """`bearer` is what callers send as `Authorization: Bearer …`; it is shown here and never again, as `note` says."""

    bearer: str
    info: TokenInfo
    note: str = "the bearer is shown only once: keep it now"


class ListTokens(msgspec.Struct, frozen=True, kw_only=True):
    page_size: PageSize = 100
    page_token: PageToken = None


class ListTokensReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """By id, which is the order of creation."""

    tokens: list[TokenInfo]
    next_page_token: str | None = None


class RevokeToken(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is the id or the name of a token."""

    id: Annotated[str, Meta(description="id or name of the token")]


class RevokeTokenReply(msgspec.Struct, frozen=True, kw_only=True):
    info: TokenInfo


class TokensCalls:
    """Access tokens of this stage."""

    system = "tokens"

    @operation(CreateToken, access="admin", errors=(AlreadyExists, Exhausted))
    def create(self) -> CreateTokenReply:
        """Make a token; only a hash of it is kept."""

    @operation(ListTokens, access="admin", idempotent=True)
    def list(self) -> ListTokensReply:
        """The tokens that have not been revoked."""

    @operation(RevokeToken, access="admin", errors=(NotFound,))
    def revoke(self) -> RevokeTokenReply:
        """The token no longer works: here from now on, in other processes within the poll interval."""


class Tokens(AsyncFace, TokensCalls):
    """Administers access tokens, asynchronous: `stage.client(Tokens)`."""


class SyncTokens(SyncFace, TokensCalls):
    """Administers access tokens, synchronous."""


CALLS = TokensCalls
