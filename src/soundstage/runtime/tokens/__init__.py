"""Administers access tokens: who may call from outside, and what they may do.

    made = await stage.client(Tokens).create(name="loader", roles=["write"], namespaces=["profiles"])
    connect(url, token=made.bearer)

`api` has the messages and operations, `service` serves them. How a token is kept and known again lies in
`soundstage.runtime.credentials`.
"""

from __future__ import annotations

from soundstage.core.credential import TokenInfo
from soundstage.runtime.tokens.api import SyncTokens, Tokens

__all__ = ["SyncTokens", "TokenInfo", "Tokens"]
