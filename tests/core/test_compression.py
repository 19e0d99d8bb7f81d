"""Codecs of values: what is made of a value is undone, never into more than is allowed, and damage is noticed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core import compression
from soundstage.core.compression import Allowance, compress, compressing_us, declared_size, decompress, known_codecs
from soundstage.core.errors import DataLoss, Internal, TooLarge, Unavailable

MIB = 1 << 20
VALUE = b'{"name": "Ada", "born": 1815}' * 20
FRAMED = ("zstd", "lz4")


@given(st.sampled_from(known_codecs()), st.binary(max_size=2_000))
def test_what_is_made_of_a_value_is_undone(codec: str, value: bytes) -> None:
    assert decompress(codec, compress(codec, value), len(value)) == value


def test_the_best_that_is_installed_comes_first_and_none_last() -> None:
    assert known_codecs() == ("zstd", "lz4", "none")


@pytest.mark.parametrize("codec", FRAMED)
def test_words_become_fewer_bytes(codec: str) -> None:
    assert len(compress(codec, VALUE)) < len(VALUE) / 4


@pytest.mark.parametrize("codec", FRAMED)
def test_a_value_at_the_limit_is_given(codec: str) -> None:
    assert decompress(codec, compress(codec, VALUE), len(VALUE)) == VALUE


@pytest.mark.parametrize("codec", FRAMED)
def test_a_value_over_the_limit_is_refused(codec: str) -> None:
    with pytest.raises(TooLarge, match="more than 579 bytes"):
        decompress(codec, compress(codec, VALUE), len(VALUE) - 1)


@pytest.mark.parametrize("codec", FRAMED)
def test_a_frame_that_says_it_holds_too_much_is_not_even_read(codec: str) -> None:
    bomb = compress(codec, bytes(64 * MIB))
    with pytest.raises(TooLarge):
        decompress(codec, bomb[: len(bomb) // 2], MIB)


@pytest.mark.parametrize(
    ("codec", "bomb"),
    [
        ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress(bytes(32 * MIB))),
        ("lz4", lz4.frame.compress(bytes(32 * MIB), store_size=False)),
    ],
)
def test_a_frame_that_does_not_say_what_it_holds_is_left_at_the_limit(codec: str, bomb: bytes) -> None:
    with pytest.raises(TooLarge):
        decompress(codec, bomb, MIB)


@pytest.mark.parametrize(
    ("codec", "frame"),
    [
        ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress(VALUE)),
        ("lz4", lz4.frame.compress(VALUE, store_size=False)),
    ],
)
def test_a_frame_of_other_programs_that_does_not_say_its_size_is_undone(codec: str, frame: bytes) -> None:
    assert decompress(codec, frame, len(VALUE)) == VALUE


@pytest.mark.parametrize("codec", FRAMED)
@pytest.mark.parametrize("damage", ["cut", "longer", "other"])
def test_what_is_no_whole_frame_alone_is_a_loss(codec: str, damage: str) -> None:
    frame = compress(codec, VALUE)
    damaged = {"cut": frame[:-3], "longer": frame + b"x", "other": b"plain text, as it is"}[damage]
    with pytest.raises(DataLoss, match=codec):
        decompress(codec, damaged, MIB)


@pytest.mark.parametrize("damage", ["cut", "longer", "lie"])
def test_so_is_one_that_says_it_is_empty(damage: str) -> None:
    frame = compress("zstd", b"")
    lie = bytearray(compress("zstd", b"v" * 200))
    # After the magic number and the descriptor stands how large the value is.
    lie[5] = 0
    damaged = {"cut": frame[:-1], "longer": frame + b"x", "lie": bytes(lie)}[damage]
    with pytest.raises(DataLoss):
        decompress("zstd", damaged, MIB)


@pytest.mark.parametrize("damage", ["cut", "longer"])
def test_so_is_one_of_unknown_size(damage: str) -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(VALUE)
    with pytest.raises(DataLoss):
        decompress("zstd", frame[:-3] if damage == "cut" else frame + b"x" * 100, MIB)


@pytest.mark.parametrize("act", [partial(compress, "brotli", b"v"), partial(decompress, "brotli", b"v", 1)])
def test_a_codec_of_another_release_is_named(act: Callable[[], bytes]) -> None:
    with pytest.raises(Internal, match="'brotli' is not known"):
        act()


def test_a_codec_that_is_not_installed_says_how_it_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    with pytest.raises(Unavailable) as missing:
        compress("lz4", VALUE)
    assert (missing.value.hint, missing.value.retryable) == ('pip install "soundstage[lz4]"', False)


def test_threads_do_not_disturb_each_other() -> None:
    failed: list[BaseException] = []

    def turn(number: int) -> None:
        try:
            for size in range(50):
                value = bytes([number]) * size * 100
                assert decompress("zstd", compress("zstd", value), len(value)) == value
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=turn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_what_is_kept_for_the_next_value_is_bounded() -> None:
    for level in range(1, 20):
        compress("zstd", b"v" * 200, level=level)
        decompress("zstd", compress("zstd", b"v" * 200, level=level), 200)
    assert len(compression._kept.made) <= compression._KEPT


UNDECLARED = {
    "zstd": zstandard.ZstdCompressor(write_content_size=False).compress,
    "lz4": partial(lz4.frame.compress, store_size=False),
}


@pytest.mark.parametrize("codec", FRAMED)
def test_frames_that_do_not_say_their_size_share_an_allowance(codec: str) -> None:
    frame, allowance = UNDECLARED[codec](VALUE), Allowance(2 * len(VALUE))
    assert [decompress(codec, frame, MIB, allowance=allowance) for _ in range(2)] == [VALUE] * 2
    with pytest.raises(TooLarge):
        decompress(codec, frame, MIB, allowance=allowance)


@pytest.mark.parametrize("codec", FRAMED)
def test_what_was_undone_in_vain_counts_and_once_it_is_used_up_nothing_is_tried(codec: str) -> None:
    bomb, allowance = UNDECLARED[codec](bytes(32 * MIB)), Allowance(4 * MIB)
    with pytest.raises(TooLarge):
        decompress(codec, bomb, 3 * MIB, allowance=allowance)
    with pytest.raises(TooLarge):
        decompress(codec, bomb, 3 * MIB, allowance=allowance)
    left = allowance.left
    with pytest.raises(TooLarge):
        decompress(codec, bomb, 3 * MIB, allowance=allowance)
    assert (left < 0, allowance.left) == (True, left)


@pytest.mark.parametrize("codec", FRAMED)
def test_a_frame_that_says_its_size_needs_no_allowance(codec: str) -> None:
    assert decompress(codec, compress(codec, VALUE), MIB, allowance=Allowance(-1)) == VALUE


@pytest.mark.parametrize("codec", FRAMED)
def test_the_size_of_a_frame_is_known_where_that_says_it(codec: str) -> None:
    found = [declared_size(codec, frame) for frame in (compress(codec, VALUE), UNDECLARED[codec](VALUE), b"as it is")]
    assert found == [len(VALUE), None, None]


def test_the_size_of_a_plain_value_is_its_own() -> None:
    assert declared_size("none", VALUE) == len(VALUE)


@pytest.mark.parametrize("level", range(1, 20))
def test_a_harder_try_is_never_thought_quicker(level: int) -> None:
    assert compressing_us("lz4", level, MIB) < compressing_us("zstd", level, MIB)
    assert compressing_us("zstd", level, MIB) <= compressing_us("zstd", level + 1, MIB)
