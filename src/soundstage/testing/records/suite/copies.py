"""What all copies of a record have together, where there are several."""

from __future__ import annotations

from soundstage.core import version
from soundstage.engines.records.port import Capability, Copies
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD, Bench
from soundstage.testing.records.requirements import requires


class CopiesHeld:
    @requires(Capability.COPIES)
    async def test_all_copies_together_have_what_was_written(self, bench: Bench) -> None:
        await bench.send(bench.write(at=-1, puts={b"a": Put(b"1"), b"b": Put(b"2")}))
        assert isinstance(bench.engine, Copies)
        page = await bench.engine.get_from_all(bench.spec.name, RECORD, [b"a", b"c"], bench.now)
        assert [(key, bytes(version.split(cell).value)) for key, cell in page.rows] == [(b"a", b"1")]
        assert (page.resume, page.stamp) == (None, await bench.record_stamp())

    @requires(Capability.COPIES)
    async def test_all_copies_together_have_nothing_of_what_was_deleted(self, bench: Bench) -> None:
        await bench.put(b"key", b"value", at=-2)
        await bench.delete_all(at=-1)
        assert isinstance(bench.engine, Copies)
        page = await bench.engine.get_from_all(bench.spec.name, RECORD, [b"key"], bench.now)
        assert page.rows == []
