"""What is too large is refused, and nothing of it is there."""

from __future__ import annotations

import pytest

from soundstage.core.errors import TooLarge
from soundstage.engines.log.port import CALL_MAX_BYTES, CALL_MAX_ENTRIES, ENTRY_MAX_BYTES, HEADERS_MAX
from soundstage.testing.log.bench import LogBench, entry


class Limits:
    async def test_an_entry_of_the_greatest_size_is_taken(self, bench: LogBench) -> None:
        await bench.append(bytes(ENTRY_MAX_BYTES))
        assert await bench.values() == [bytes(ENTRY_MAX_BYTES)]

    @pytest.mark.parametrize("part", ["value", "key", "headers"])
    async def test_a_larger_entry_is_too_large(self, bench: LogBench, part: str) -> None:
        large = bytes(ENTRY_MAX_BYTES)
        entries = {
            "value": entry(large, b"k"),
            "key": entry(b"v", large),
            "headers": entry(b"", headers=(("x", large),)),
        }
        with pytest.raises(TooLarge) as caught:
            await bench.send(entry(b"small"), entries[part], partition=0)
        assert (caught.value.field, await bench.values()) == ("entries[1]", [])

    async def test_a_call_of_the_greatest_size_is_taken(self, bench: LogBench) -> None:
        await bench.append(*[bytes(ENTRY_MAX_BYTES)] * (CALL_MAX_BYTES // ENTRY_MAX_BYTES))
        assert await bench.bounds() == (0, 4)

    async def test_a_larger_call_is_too_large(self, bench: LogBench) -> None:
        with pytest.raises(TooLarge):
            await bench.append(*[bytes(ENTRY_MAX_BYTES)] * (CALL_MAX_BYTES // ENTRY_MAX_BYTES), b"x")
        assert await bench.values() == []

    async def test_a_call_of_the_most_entries_is_taken(self, bench: LogBench) -> None:
        await bench.append(*[b""] * CALL_MAX_ENTRIES)
        assert await bench.bounds() == (0, CALL_MAX_ENTRIES)

    async def test_a_call_of_more_is_too_large(self, bench: LogBench) -> None:
        with pytest.raises(TooLarge):
            await bench.append(*[b""] * (CALL_MAX_ENTRIES + 1))
        assert await bench.values() == []

    async def test_an_entry_has_a_bounded_number_of_headers(self, bench: LogBench) -> None:
        headers = tuple(("h", b"%d" % number) for number in range(HEADERS_MAX + 1))
        await bench.send(entry(headers=headers[1:]), partition=0)
        with pytest.raises(TooLarge):
            await bench.send(entry(headers=headers), partition=0)
        (found,) = await bench.everything()
        assert found.headers == headers[1:]
