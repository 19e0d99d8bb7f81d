"""What travels beside every message, in process and over HTTP alike."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

Access: TypeAlias = Literal["read", "write", "admin", "observe"]
"""What an operation needs and a token grants. `admin` includes all; `write` includes `read`."""


class Principal(msgspec.Struct, frozen=True):
    """Who calls. `grants` maps a namespace name, a `prefix*` or `*` to the access given there.

    `name` is for people: another may have it later. What belongs to somebody belongs to the `id`, which is
    never given twice; who has none owns nothing.
    """

    name: str
    grants: dict[str, tuple[Access, ...]]
    id: str = ""

    def owns(self, owner: str) -> bool:
        """Whether what belongs to the id `owner` is this one's own."""
        return self.id != "" and self.id == owner


NOBODY = Principal("", {})
"""Who calls, before it is known."""

LOCAL = Principal("local", {"*": ("admin",)}, "local")
"""The owner of the process: in-process callers, and everyone while authentication is off.

No token has its id, as those have 20 digits, or its name, which is reserved.
"""


class Call(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call's context, passed explicitly to every handler.

    `deadline_ns` is on the environment's monotonic clock. `signals` are the caller's capabilities as
    announced with the request. `arrived_ns` is the wall clock when a call from outside came, 0 while nobody traces.
    `job_id` is for the job that a start under an idempotency key makes, so that its repetition makes the same one.
    `body` is the `soundstage.core.streaming.Body` of an upload.
    """

    principal: Principal = LOCAL
    deadline_ns: int | None = None
    idempotency_key: str | None = None
    request_id: str = ""
    trace: str | None = None
    signals: dict[str, str] | None = None
    arrived_ns: int = 0
    job_id: str = ""
    body: Any = None


class CallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may set per call; see `AsyncFace.with_options`.

    `deadline` is in seconds from now. `retries` counts repetitions after the first try; they carry the
    same idempotency token, and calls that are not safe to repeat are never repeated.
    """

    deadline: float | None = None
    idempotency_key: str | None = None
    request_id: str | None = None
    retries: int | None = None


DEFAULT_OPTIONS = CallOptions()
