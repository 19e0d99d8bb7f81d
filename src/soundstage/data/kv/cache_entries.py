"""What a cache tier keeps: of each record a head, and answers that were true under it.

An **answer** is what the store said to one question about one record: the rows and the greatest version of the record.
It carries the **nonce** of the head it was asked under, and counts only while the head has that nonce. So one change of
the head voids whatever is kept of a record, whichever keys that is of.

A **head** is closed by everybody who is about to write, with a new nonce, and opened when the write is done, with
another. While it is closed nobody fills. One whose writer died opens by itself, long after the write can come no more.

Both may vanish at any time, together or alone: an answer without its head is nothing, a new head voids all answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from soundstage.core import version
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Row, Stamp

NONCE_BYTES = 8

CLOSED_US = IN_FLIGHT_MAX_US * 3 // 2
"""How long a head stays closed for a writer that is not heard of again."""

WRITERS_MAX = 16
"""Beside each other at one head; with more it stays closed until nobody can be left."""

SEEN_MAX = 16
"""Writes that a head remembers to have been told of."""

_DIGEST_BYTES = 8
_KEY_BYTES = 20


class Writer(NamedTuple):
    """Who may be writing, until then by the wall clock."""

    id: bytes
    until_us: int


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Under which nonce the answers of a record count.

    `newest` is the greatest version that is known to have been written, a delete as well: answers that are older are
    not filled in. `seen` are the digests of the last writes that are known to be done: answers under this head have
    them.
    """

    nonce: bytes
    newest: Stamp | None = None
    writers: list[Writer] = []
    seen: list[bytes] = []

    def is_closed(self, now_us: int) -> bool:
        """Whether somebody may be writing."""
        return any(writer.until_us > now_us for writer in self.writers)

    def closed(self, nonce: bytes, writer: Writer, now_us: int) -> Head:
        """This head with one writer more, or once more the same."""
        others = [each for each in self.writers if each.id != writer.id and each.until_us > now_us]
        if len(others) >= WRITERS_MAX:
            others = [Writer(b"", max(each.until_us for each in others))]
        return Head(nonce, self.newest, [*others, writer], self.seen)

    def opened(self, nonce: bytes, writer: bytes, written: Sequence[Stamp], now_us: int) -> Head:
        """This head once `writer` has written that; closed by the others, if there are any."""
        others = [each for each in self.writers if each.id != writer and each.until_us > now_us]
        newest = self.newest
        for stamp in written:
            newest = stamp if newest is None else max(newest, stamp)
        seen = [*self.seen, *map(digest, written)][-SEEN_MAX:]
        return Head(nonce, newest, others, seen)


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What the store said after `asked_us`; `rows` None: more than is kept.

    `stamp` is the greatest version of the record.
    """

    nonce: bytes
    asked_us: int
    stamp: Stamp | None = None
    rows: list[tuple[bytes, bytes]] | None = None

    def live(self, now_us: int) -> list[Row]:
        """The rows that have not expired."""
        return [row for row in self.rows or () if version.is_live(row[1], now_us)]

    def has(self, head: Head, least: Stamp | None, late_us: int) -> bool:
        """Whether a writer that is told so does not miss its own write `least`, nor one before it.

        That the record has a greater version does not say so: of two writes the older may arrive last. Either the
        record was at that very write, or the head knows of it, or the store was asked so long after it, `late_us`, that
        it cannot have arrived later.
        """
        if least is None:
            return True
        if self.stamp is None or self.stamp.time_us < least.time_us:
            return False
        return self.stamp == least or digest(least) in head.seen or self.asked_us >= least.time_us + late_us


def digest(stamp: Stamp) -> bytes:
    """A write, in few bytes."""
    return blake2b(b"%d %s" % (stamp.time_us, stamp.token.encode()), digest_size=_DIGEST_BYTES).digest()


class Keys(NamedTuple):
    """Where the cache has a head and an answer."""

    head: bytes
    answer: bytes


def head_key(space: bytes, partition: bytes) -> bytes:
    """Of a record's head. `space` is all that tells two namespaces apart."""
    return b"kvh" + blake2b(partition, digest_size=_KEY_BYTES, key=space).digest()


def keys_of(space: bytes, partition: bytes, question: bytes) -> Keys:
    """Of both; `question` is `whole` or `points`."""
    head = head_key(space, partition)
    return Keys(head, b"kva" + blake2b(head + question, digest_size=_KEY_BYTES).digest())


WHOLE = b"w"
"""The question for all items of a record."""


def points(keys: Sequence[bytes]) -> bytes:
    """The question for the items of these keys, in this order."""
    return b"p" + b"".join(len(key).to_bytes(2, "big") + key for key in keys)


_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(Head).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


def encode_head(head: Head) -> bytes:
    """The bytes of a head."""
    return _encode(head)


def encode_answer(answer: Answer) -> bytes:
    """The bytes of an answer."""
    return _encode(answer)


def decode_head(value: bytes) -> Head | None:
    """The head; None for what is none, as after a release that wrote it otherwise."""
    try:
        return _decode_head(value)
    except msgspec.MsgspecError:
        return None


def decode_answer(value: bytes) -> Answer | None:
    """The answer; None for what is none."""
    try:
        return _decode_answer(value)
    except msgspec.MsgspecError:
        return None
