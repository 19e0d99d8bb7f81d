"""What is known of an access token."""

from __future__ import annotations

import msgspec

from soundstage.core.call import Access
from soundstage.core.message import Instant


class TokenInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token without what makes it secret. `id` is the part of it between the first two underscores."""

    id: str
    name: str
    grants: dict[str, list[Access]]
    created_at: Instant
    created_by: str
    expires_at: Instant | None = None
