"""Writes and records as the tests of the history make them: times are microseconds, tokens are letters."""

from __future__ import annotations

from soundstage.testing.model import DELETE, PUT, Version
from soundstage.testing.simulation.kv.history import History, Write
from soundstage.testing.simulation.kv.judge import Moment, Seen
from soundstage.testing.simulation.kv.steps import Shape

RECORD = "record"


def put(token: str, time_us: int, *keys: bytes, expires_us: int = 0, conditional: bool = False) -> Write:
    """A put of the token's letter under each key."""
    version = Version(time_us, PUT, token, expires_us, b"", token.encode())
    return Write(RECORD, "put", token, time_us, dict.fromkeys(keys, version), conditional=conditional)


def delete(token: str, time_us: int, *keys: bytes, shape: Shape = "marker", conditional: bool = False) -> Write:
    """A delete of `keys`."""
    sent = dict.fromkeys(keys, Version(time_us, DELETE, token))
    return Write(RECORD, shape, token, time_us, sent, conditional=conditional)


def acknowledged(history: History, write: Write, time_us: int | None = None) -> Write:
    """`write` was begun and answered, and nothing else was under way."""
    history.begin(write)
    if write.time_us is None:
        history.record(RECORD).stamp(write, time_us or write.token_time_us)
    write.sure_at = history.tick()
    history.close(write.begun, RECORD)
    return write


def begun(history: History, write: Write) -> Write:
    """`write` was begun, and its answer has not come."""
    history.begin(write)
    return write


def seen(write: Write, key: bytes, *, time_us: int | None = None, value: bytes | None = b"-") -> Seen:
    """How the item of `write` looks."""
    version = write.sent[key]
    shown = version.value if value == b"-" else value
    return Seen(time_us or version.time_us, version.token, version.expires_us, len(version.value), shown)


def now(history: History, least_us: int = 1_000, most_us: int | None = None) -> Moment:
    """A call that began and ended at this moment."""
    return Moment(history.tick(), history.tick(), least_us, least_us if most_us is None else most_us)
