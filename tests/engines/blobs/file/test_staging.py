"""A blob on its way to disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from soundstage.engines.blobs.file.layout import BLOCK_BYTES, HEAD_BYTES, block_sum, decode_head
from soundstage.engines.blobs.file.staging import Cutter, Staged
from soundstage.engines.blobs.port import BlobInfo


def sealed(staged: Staged, durable: bool = False) -> BlobInfo:
    info = BlobInfo(key="a", size=staged.size, sha256=staged.sha256, created_us=1)
    staged.seal(info, durable=durable)
    return info


def test_a_sealed_file_holds_info_bytes_and_sums(tmp_path: Path) -> None:
    staged = Staged(tmp_path / "s")
    content = os.urandom(BLOCK_BYTES + 10)
    for at in range(0, len(content), 77_777):
        staged.write(content[at : at + 77_777])
    info = sealed(staged)
    written = (tmp_path / "s").read_bytes()
    assert (decode_head(written), info.sha256) == (info, hashlib.sha256(content).hexdigest())
    assert written[HEAD_BYTES : HEAD_BYTES + info.size] == content
    assert written[HEAD_BYTES + info.size :] == block_sum(content[:BLOCK_BYTES]) + block_sum(content[BLOCK_BYTES:])


def test_an_empty_blob_has_a_file_too(tmp_path: Path) -> None:
    staged = Staged(tmp_path / "s")
    staged.write(b"")
    sealed(staged)
    assert (tmp_path / "s").stat().st_size == HEAD_BYTES


def test_nothing_is_made_before_something_is_written(tmp_path: Path) -> None:
    Staged(tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("durable", "flushes"), [(True, 1), (False, 0)])
def test_it_is_flushed_when_it_is_to_be_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool, flushes: int
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    staged = Staged(tmp_path / "s")
    staged.write(b"x")
    sealed(staged, durable)
    assert len(flushed) == flushes


def test_a_discarded_one_leaves_nothing(tmp_path: Path) -> None:
    staged = Staged(tmp_path / "s")
    staged.write(b"x")
    staged.discard()
    staged.discard()
    assert list(tmp_path.iterdir()) == []


def test_discarding_what_was_named_harms_nothing(tmp_path: Path) -> None:
    staged = Staged(tmp_path / "s")
    staged.write(b"x")
    sealed(staged)
    os.rename(tmp_path / "s", tmp_path / "named")
    staged.discard()
    assert (tmp_path / "named").exists()


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [0, 0],
        [1],
        [BLOCK_BYTES],
        [BLOCK_BYTES - 1, 1],
        [BLOCK_BYTES + 1],
        [1, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES - 1, 7],
        [300_000] * 9,
    ],
)
def test_chunks_are_cut_into_whole_blocks_and_a_rest(sizes: list[int]) -> None:
    cutter = Cutter()
    chunks = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    blocks = [block for chunk in chunks for block in cutter.add(chunk)]
    assert {len(block) for block in blocks} <= {BLOCK_BYTES}
    assert b"".join([*blocks, rest := cutter.rest()]) == b"".join(chunks)
    assert len(rest) < BLOCK_BYTES
    assert cutter.rest() == b""


@pytest.mark.parametrize("size", [BLOCK_BYTES, 300_000])
def test_the_sums_are_those_of_the_blocks_however_they_come(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (2 * BLOCK_BYTES // 256) + b"rest"
    sums: list[bytes] = []
    for step in (size, 777_777):
        staged = Staged(tmp_path / str(step))
        for at in range(0, len(content), step):
            staged.write(content[at : at + step])
        staged.seal(BlobInfo(key="a", size=len(content), sha256=staged.sha256, created_us=1), durable=False)
        sums.append((tmp_path / str(step)).read_bytes())
    assert sums[0] == sums[1]
