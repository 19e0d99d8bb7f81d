"""What goes wrong between a client and its stage, as errors of the one tree."""

from __future__ import annotations

from typing import Any

import httpx2

from soundstage.client.handshake import refusal, silence
from soundstage.core.errors import DeadlineExceeded, SoundstageError, Unavailable
from soundstage.core.operation import Operation

_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)

_HUNG_UP = (httpx2.RemoteProtocolError, httpx2.ReadError)
"""How it looks when who answers takes a request and closes the connection."""

_GATEWAY_STATUSES = frozenset((502, 503, 504))
"""What proxies say of a stage behind them that may be back soon."""


class Unreachable(Unavailable):
    """No stage answered: nothing listens there, the connection broke, or something else is at the address."""


def network_error(
    error: httpx2.HTTPError | OSError, url: str, operation: Operation[..., Any], repeatable: bool
) -> SoundstageError:
    """What `error` means to the caller: what was never sent was not applied, and may always be sent again."""
    sent = not isinstance(error, _NOT_SENT)
    if sent and isinstance(error, httpx2.TimeoutException):
        return late(operation, repeatable)
    return unreachable(error, url, f"{operation.system}/{operation.name}", repeatable or not sent)


def unreachable(error: httpx2.HTTPError | OSError, url: str, wanted: str, repeatable: bool = True) -> Unreachable:
    """That `error` kept from what was wanted of the stage at `url`.

    Where TLS is why, nothing was applied, and to try again is of no use.
    """
    refused = refusal(error, url, sent=not isinstance(error, _NOT_SENT))
    if refused is not None:
        return Unreachable(
            f"no stage could be reached at {url} for {wanted}: {refused.reason}",
            hint=refused.hint,
            retryable=False,
            outcome="not_applied",
        )
    reason = f": {error}" if str(error) else f" ({type(error).__name__})"
    return Unreachable(
        f"no stage could be reached at {url} for {wanted}{reason}",
        hint=silence(url) if isinstance(error, _HUNG_UP) else "check that it runs and that the address is right",
        retryable=repeatable,
        outcome="not_applied" if isinstance(error, _NOT_SENT) else "unknown",
    )


def late(operation: Operation[..., Any], repeatable: bool) -> DeadlineExceeded:
    """The deadline of a call that was sent has passed without an answer."""
    return DeadlineExceeded(
        f"no answer in time to {operation.system}/{operation.name}",
        hint="allow more time; repeating the call is safe" if repeatable else "allow more time",
        retryable=repeatable,
        outcome="unknown",
    )


def foreign_answer(status: int, media_type: str) -> Unreachable:
    """What answered is no stage: a proxy between, or another server at this address."""
    gateway = status in _GATEWAY_STATUSES
    return Unreachable(
        f"what answered is no stage: status {status} with {media_type or 'no media type'}",
        hint="check the address and what stands between",
        retryable=gateway,
        outcome="unknown" if gateway else "not_applied",
    )
