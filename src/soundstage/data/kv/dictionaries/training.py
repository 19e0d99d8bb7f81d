"""Makes a dictionary of values of a namespace, and finds out what it saves.

Values are taken from places all over the namespace, as many as some megabytes have. Most become samples, the others
judge: what they come to with the dictionary is what is told, and where that is not less there is none. This is the one
place of a server in which the compression of values is undone, a few of them and for nobody to see; what cannot be
undone is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from soundstage.core import version
from soundstage.core.compression import PLAIN, ZSTD, compress, decompress
from soundstage.core.dictionaries import Dictionary, codec_of_dictionary, needs_dictionary, train
from soundstage.core.environment import Environment
from soundstage.core.errors import PreconditionFailed, SoundstageError
from soundstage.data.kv.items import StoredMetadata
from soundstage.data.kv.namespace import ServedNamespace
from soundstage.engines.records.port import Budget
from soundstage.runtime.work.context import JobContext

VALUE_MAX_BYTES = 128 << 10
"""Larger values are no samples: a dictionary is of little use to them."""

SAMPLES_MIN = 64
SAMPLES_MAX = 100_000

JUDGES = 8
"""Every so many-th value judges."""

SEGMENTS = 256

_PAGES = 64
"""About so many places of a large namespace are looked at."""


class Sample(NamedTuple):
    """A value as it is stored."""

    codec: str
    value: bytes


class Wanted(NamedTuple):
    """How large a dictionary is to be at most, and of how many bytes of values it is to be made."""

    size: int
    sample_bytes: int


class Trained(NamedTuple):
    """A dictionary, and what values that it was not made of come to: as they are, with zstd alone, and with it."""

    codec: str
    content: bytes
    samples: int
    judged: int
    plain_bytes: int
    zstd_bytes: int
    bytes: int


async def sampled(served: ServedNamespace, environment: Environment, limit: int, job: JobContext) -> list[Sample]:
    """Values of the namespace of `limit` bytes, about: a part from each of many places, in random order."""
    found: list[Sample] = []
    size = 0
    segments = list(range(SEGMENTS))
    environment.random.shuffle(segments)
    share = max(16 << 10, limit // _PAGES)
    budget = Budget(rows=2_000, bytes=share)
    resumes: list[tuple[int, bytes | None]] = [(segment, None) for segment in segments]
    for segment, position in resumes:
        if size >= limit or len(found) >= SAMPLES_MAX:
            break
        job.check()
        page = await served.records.walk(served.table, segment, SEGMENTS, position, budget, environment.now_us())
        for _, rows in page.partitions:
            for _, cell in rows:
                sample = _sample(cell)
                if sample is not None:
                    found.append(sample)
                    size += len(sample.value)
        if page.position is not None:
            # Only once every place has had its turn.
            resumes.append((segment, page.position))
        job.progress(min(size, limit), limit, "bytes", "sampling")
    return found


def trained(
    samples: Sequence[Sample], wanted: Wanted, level: int, least: int, dictionaries: Mapping[str, Dictionary]
) -> Trained:
    """A dictionary, `wanted` so, for values of `least` bytes and more. For a thread.

    Raises `PreconditionFailed` where the values are too few, or would not become smaller.
    """
    values = _undone(samples, wanted.sample_bytes, least, dictionaries)
    if len(values) < SAMPLES_MIN:
        raise _too_few(len(values), least)
    judges, learners = values[::JUDGES], [value for at, value in enumerate(values) if at % JUDGES]
    content = train(learners, wanted.size, level)
    if content is None:
        raise _too_few(len(values), least)
    dictionary = Dictionary(codec_of_dictionary(content), content)
    plain_bytes = sum(map(len, judges))
    zstd_bytes = sum(min(len(value), len(compress(ZSTD, value, level))) for value in judges)
    bytes = sum(min(len(value), len(compress(dictionary.codec, value, level, dictionary))) for value in judges)
    if bytes >= zstd_bytes:
        raise PreconditionFailed(
            f"{plain_bytes} bytes of values come to {bytes} with a dictionary, and to {zstd_bytes} without",
            hint="leave them as they are: these values have little in common",
        )
    return Trained(dictionary.codec, content, len(learners), len(judges), plain_bytes, zstd_bytes, bytes)


def _sample(cell: bytes) -> Sample | None:
    found = version.split(cell)
    stored = _decode_metadata(found.metadata) if found.metadata else None
    if stored is not None and stored.value is not None:
        return None
    if not 0 < len(found.value) <= VALUE_MAX_BYTES:
        return None
    return Sample(PLAIN if stored is None or stored.codec is None else stored.codec, found.value)


def _undone(samples: Sequence[Sample], limit: int, least: int, dictionaries: Mapping[str, Dictionary]) -> list[bytes]:
    """The values of `limit` bytes together, about: a few bytes that are stored may stand for very many."""
    found: list[bytes] = []
    size = 0
    for each in samples:
        value = _plain(each, dictionaries)
        if value is not None and len(value) >= least:
            found.append(value)
            size += len(value)
        if size >= limit:
            break
    return found


def _plain(sample: Sample, dictionaries: Mapping[str, Dictionary]) -> bytes | None:
    codec, value = sample
    if codec == PLAIN:
        return value
    if needs_dictionary(codec) and codec not in dictionaries:
        return None
    try:
        return decompress(codec, value, VALUE_MAX_BYTES, dictionaries.get(codec))
    except SoundstageError:
        return None


def _too_few(count: int, least: int) -> PreconditionFailed:
    return PreconditionFailed(
        f"the namespace has {count} values of {least} to {VALUE_MAX_BYTES} bytes, too few to make a dictionary of",
        hint=f"write some hundreds first; {SAMPLES_MIN} is the least",
    )


_decode_metadata = msgspec.msgpack.Decoder(StoredMetadata).decode
