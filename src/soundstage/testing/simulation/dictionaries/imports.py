"""Imports of files whose values need a dictionary: one that the namespace has, had, or never heard of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from soundstage.core import version
from soundstage.core.compression import compress
from soundstage.core.dictionaries import Dictionary, codec_of_dictionary, train
from soundstage.core.errors import DeadlineExceeded, Exhausted, InvalidArgument, PreconditionFailed, Unavailable
from soundstage.core.message import IdempotencyToken
from soundstage.core.time import Instant
from soundstage.data.kv.items import id_of
from soundstage.data.kv.parquet.rows import DICTIONARIES, Rows, shape
from soundstage.data.parquet.footers import Footer
from soundstage.data.parquet.writing import Writer
from soundstage.engines.records.port import Batch
from soundstage.testing.simulation.dictionaries.steps import DictionaryStep, value_of
from soundstage.testing.simulation.dictionaries.works import Lasting, bring
from soundstage.testing.simulation.process import Killed
from soundstage.testing.simulation.scenario import Divergence, Site
from soundstage.testing.simulation.written import Writings, Written

FOREIGN = 3
"""Dictionaries that were made of another namespace's values."""

ATTEMPTS_MAX = 3
_FAILURES = (Unavailable, DeadlineExceeded, Exhausted, PreconditionFailed)


class Imports:
    """What is imported into one namespace; `sent` and `values` are told of every row before an engine is."""

    def __init__(self, site: Site, namespace: str, sent: Writings, values: dict[str, bytes]) -> None:
        self._site = site
        self._namespace = namespace
        self._table = f"kv/{namespace}"
        self._sent = sent
        self._values = values
        self._foreign = [_made_elsewhere(number) for number in range(FOREIGN)]

    async def bring(self, step: DictionaryStep, heard: Sequence[Dictionary]) -> None:
        """The rows of a file are there, or some of them where its job fails.

        An attempt whose process ends is followed by another one, which goes on from where it was.
        """
        words = heard[-1 - step.choice % len(heard)] if heard and not step.is_foreign else self._of_elsewhere(step)
        job, rows = Lasting(f"import-{step.number}"), dict[str, tuple[int, Written]]()
        content = self._file(step, job, words)
        for _ in range(ATTEMPTS_MAX):
            try:
                await bring(self._site, step, self._namespace, content, job, partial(self._sending, rows))
            except Killed:
                step = msgspec.structs.replace(step, stumbles_at=0)
            except InvalidArgument:
                if step.is_carried:
                    raise
                self._site.note("lacking")
                return
            except _FAILURES:
                self._site.note("given_up")
                return
            else:
                self._imported(step, rows)
                return

    def _imported(self, step: DictionaryStep, rows: Mapping[str, tuple[int, Written]]) -> None:
        if len(rows) != len(step.keys):
            raise Divergence(f"of {len(step.keys)} rows that were imported {len(rows)} were written")
        for _, written in rows.values():
            self._sent.end(written)
        self._site.note("imported")

    def _of_elsewhere(self, step: DictionaryStep) -> Dictionary:
        return self._foreign[step.choice % FOREIGN]

    def _file(self, step: DictionaryStep, job: Lasting, words: Dictionary) -> bytes:
        """A file as an export leaves it, perhaps without its dictionary."""
        rows, size = Rows(), 0
        for number, key in enumerate(step.keys, 1):
            token = f"{job.job_id}/{number:012d}"
            value = self._values[token] = value_of(token, step.is_large)
            frame = compress(words.codec, value, 3, words)
            row = (step.record, key, frame, token, number, None, len(frame), words.codec)
            for column, field in zip(rows.columns, row, strict=True):
                column.append(field)
            size += len(key) + len(frame)
        footer = Footer(namespace="elsewhere", exported_us=1, items=rows.count, bytes=size)
        known = {words.codec: words.words.as_bytes()} if step.is_carried else {}
        writer = Writer(shape())
        return writer.add(rows.packed()) + writer.finish(footer, {DICTIONARIES: msgspec.msgpack.encode(known)})

    def _sending(self, rows: dict[str, tuple[int, Written]], table: str, partition: bytes, batch: Batch) -> None:
        """Rows are about to be written; of two versions of one the later is what the import comes to."""
        if table != self._table:
            return
        for key, cell in batch.cells:
            token = IdempotencyToken(Instant.from_us(version.time_us(cell)), version.token(cell))
            time_us, _ = rows.get(token.token, (0, None))
            if token.generation_time.us > time_us:
                written = self._sent.begin(token, False, id_of(partition), (key,))
                rows[token.token] = token.generation_time.us, written


def _made_elsewhere(number: int) -> Dictionary:
    content = train([value_of(f"elsewhere {number} {at}", False) for at in range(200)], 2_048, 3)
    assert content is not None
    return Dictionary(codec_of_dictionary(content), content)
