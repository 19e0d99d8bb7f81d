"""Writes as they are drawn, as the client sends them, and as the model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Literal, NamedTuple, TypeAlias

from soundstage.core.message import Duration, IdempotencyToken, Instant
from soundstage.data.kv import api
from soundstage.data.kv.items import metadata_of
from soundstage.data.kv.manifest import Manifest, digest_of
from soundstage.testing.model import DELETE, PUT, Condition, Put, Range, Record, Stamp, Version, Write

KEYS: tuple[bytes, ...] = (b"", b"a", b"a\0", b"ab", b"b", b"\xff\xff")
VALUES = (b"", b"x", b"y", b"\0", b"value" * 5, b"chunk" * 300, b"other" * 300)
"""The last two are too large for their rows."""

ROW_MAX_BYTES = 1_024
TTLS_US = (1_000, 1_000_000, 5_000_000, 60_000_000, 3_600_000_000)

Kind: TypeAlias = Literal["put", "keys", "range", "record"]


class Change(NamedTuple):
    """What a write changes, whatever its token."""

    kind: Kind
    puts: tuple[tuple[bytes, bytes, int | None], ...] = ()
    keys: tuple[bytes, ...] = ()
    span: Range = (b"", None)

    def write(self, token: str, time_us: int) -> Write:
        """As the model takes it."""
        puts = {
            key: Put(value, 0 if ttl_us is None else time_us + ttl_us, _metadata(value))
            for key, value, ttl_us in self.puts
        }
        return Write(
            token=token,
            time_us=time_us,
            puts=puts,
            markers=self.keys,
            ranges=[self.span] if self.kind == "range" else [],
            whole=self.kind == "record",
        )

    def request(self) -> dict[str, Any]:
        """As the client sends it, but for record, token and conditions."""
        if self.kind == "put":
            return {
                "items": [
                    api.PutItem(key=key, value=value, ttl=None if ttl_us is None else Duration(ttl_us * 1_000))
                    for key, value, ttl_us in self.puts
                ]
            }
        return {"predicate": self._predicate()}

    def _predicate(self) -> api.Predicate:
        if self.kind == "keys":
            return api.Predicate(match_keys=api.MatchKeys(keys=list(self.keys)))
        if self.kind == "record":
            return api.Predicate(match_all=api.MatchAll())
        start, end = self.span
        return api.Predicate(match_range=api.MatchRange(start=start or None, end=end))


class Sent(NamedTuple):
    """A write that was accepted, and when it was stamped."""

    record: str
    change: Change
    token: IdempotencyToken
    conditions: tuple[Condition, ...] | None
    stamp_us: int


def _metadata(value: bytes) -> bytes:
    """By which two values under one token are compared, should they be in chunks; of any upload."""
    return b"" if len(value) <= ROW_MAX_BYTES else metadata_of(Manifest(digest_of(value), len(value), 1, b""))


def draw_change(chance: Random, kind: Kind) -> Change:
    if kind == "put":
        keys = chance.sample(KEYS, chance.choice((1, 1, 1, 2, 3)))
        ttl_us = chance.choice(TTLS_US) if chance.random() < 0.5 else None
        return Change("put", puts=tuple((key, chance.choice(VALUES), ttl_us) for key in keys))
    if kind == "keys":
        return Change("keys", keys=tuple(chance.sample(KEYS, chance.choice((1, 1, 2)))))
    if kind == "range":
        start, end = sorted(chance.sample(KEYS, 2))
        return Change("range", span=(start, chance.choice((end, end + b"\0", None))))
    return Change("record")


def draw_conditions(chance: Random, record: Record, now_us: int) -> tuple[Condition, ...]:
    """One or two, more often true than not."""
    return tuple(_draw_condition(chance, record, now_us) for _ in range(chance.choice((1, 1, 1, 2))))


def _draw_condition(chance: Random, record: Record, now_us: int) -> Condition:
    key = chance.choice(KEYS)
    found, draw = record.items(now_us).get(key), chance.random()
    if draw < 0.15:
        return Condition(chance.choice((key, None)), Stamp(now_us, "nobody's"))
    if draw < 0.3:
        return Condition(chance.choice((key, None)), None)
    if draw < 0.6:
        return Condition(None, record.stamp())
    return Condition(key, None if found is None else Stamp(found.time_us, found.token))


def as_sent(conditions: Sequence[Condition], chance: Random) -> api.Condition | list[api.Condition]:
    """As the client sends them: a list, or where one suffices perhaps that one."""
    sent = [_as_sent(condition) for condition in conditions]
    return sent[0] if len(sent) == 1 and chance.random() < 0.5 else sent


def _as_sent(condition: Condition) -> api.Condition:
    if condition.stamp is None:
        return api.Condition(key=condition.key, absent=True)
    return api.Condition(key=condition.key, token=token_at(condition.stamp.time_us, condition.stamp.token))


def token_at(time_us: int, text: str) -> IdempotencyToken:
    return IdempotencyToken(Instant(time_us * 1_000), text)


def version_of(write: Write, key: bytes) -> Version:
    """The version of `key` that a write puts."""
    put = write.puts[key]
    return Version(write.time_us, PUT, write.token, put.expires_us, put.metadata, put.value)


def hider_of(record: Record, key: bytes, now_us: int) -> tuple[str, Version] | None:
    """What makes `key` absent: the kind of its greatest delete, or `expired`, and the version; None for a live item."""
    winner = record.winner(key)
    if winner is None or winner.is_live(now_us):
        return None
    if winner in record.deletes:
        return "record", winner
    if winner in record.versions.get(key, ()):
        return "marker" if winner.kind == DELETE else "expired", winner
    return "range", winner


def hidden_by(record: Record, key: bytes, version: Version, now_us: int) -> str | None:
    """The kind of what hides `version` of `key`, should it arrive now."""
    found = hider_of(record, key, now_us)
    return found[0] if found is not None and found[1].rank() > version.rank() else None


def hidden_keys(record: Record, now_us: int) -> dict[str, list[tuple[bytes, int]]]:
    """The absent keys and the times of what hides them, by its kind."""
    found: dict[str, list[tuple[bytes, int]]] = {}
    for key in KEYS:
        hider = hider_of(record, key, now_us)
        if hider is not None:
            found.setdefault(hider[0], []).append((key, hider[1].time_us))
    return found
