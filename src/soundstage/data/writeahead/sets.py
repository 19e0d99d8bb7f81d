"""One accepted set, as it is encoded in the log and on the shelf."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from soundstage.core.errors import DataLoss, InvalidArgument, TooLarge
from soundstage.core.limits import check_token
from soundstage.data.writeahead.target import TOKEN_MAX_BYTES, Submission, check_count

SET_MAX_BYTES = (4 << 20) - (64 << 10)
"""Of an encoded set: what the log takes in one call, and room for what it adds to each piece."""

SCHEMA = 1


class AcceptedSet(msgspec.Struct, frozen=True, array_like=True):
    """A set, whole. Mutation i is applied at `time_us + i`, with the token `<token>/<i>`, not before `due_us`."""

    schema: int
    token: str
    time_us: int
    accepted_us: int
    due_us: int
    mutations: list[bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AcceptedSet).decode


def accepted_set(submission: Submission, now_us: int) -> AcceptedSet:
    """`submission`, accepted now. One that is due later than its token was made has the times from then on."""
    return AcceptedSet(
        SCHEMA,
        submission.token,
        max(submission.time_us, submission.due_us),
        now_us,
        submission.due_us,
        list(submission.mutations),
    )


def encode(accepted: AcceptedSet) -> bytes:
    """The bytes of a set. Raises `TooLarge` beyond what the log takes at once."""
    encoded = _encode(accepted)
    if len(encoded) > SET_MAX_BYTES:
        raise TooLarge(
            f"the mutations have {len(encoded)} bytes together, the limit is {SET_MAX_BYTES}",
            field="mutations",
            hint="split them over several calls; order is kept within one only",
        )
    return encoded


def decode(encoded: bytes) -> AcceptedSet:
    """The set of `encoded`. Raises `DataLoss` for bytes that hold none."""
    try:
        found = _decode(encoded)
    except (msgspec.DecodeError, ValueError) as error:
        raise DataLoss(f"an accepted set cannot be read: {error}", hint="restore it from a backup") from None
    if found.schema != SCHEMA:
        raise DataLoss(f"an accepted set has the format {found.schema}", hint="use the release that accepted it")
    return found


def check(submission: Submission) -> None:
    """Raise `InvalidArgument` or `TooLarge` for a set without mutations, with too many, or with a token too long."""
    check_count(len(submission.mutations))
    token = check_token(submission.token)
    if len(token.encode()) > TOKEN_MAX_BYTES:
        raise InvalidArgument(
            f"idempotency_token.token has {len(token.encode())} bytes, the limit is {TOKEN_MAX_BYTES} for a set",
            field="idempotency_token.token",
            hint="send a UUID: each mutation's own token adds its number",
        )


def mutation_id_of(target: str, scope: str, token: str) -> str:
    """The name of the set that was sent under `token`, in 32 hexadecimal digits."""
    return _digest((target.encode(), scope.encode(), token.encode())).hex()


def digest_of(submission: Submission) -> bytes:
    """What two sets under one token share if, and only if, one is a repetition of the other."""
    times = f"{submission.time_us} {submission.due_us}".encode()
    return _digest((times, *submission.mutations))


def checksum_of(encoded: bytes) -> bytes:
    """What tells a set that was read whole from one that was not."""
    return blake2b(encoded, digest_size=16).digest()


def _digest(parts: Sequence[bytes]) -> bytes:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()
