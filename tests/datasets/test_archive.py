from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.datasets.depot import MEMBERS, data_file, sha256, tarred, zipped

from soundstage.core.errors import DataLoss, NotFound
from soundstage.datasets import archive
from soundstage.datasets.archive import extract, sha256_of

ROWS = "tiny/data/rows.csv"
MORE = "tiny/data/more.csv"
Packer = Callable[[dict[str, bytes]], bytes]

each_form = pytest.mark.parametrize("pack", [zipped, tarred])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(data)
    return path


@each_form
def test_exactly_the_named_members_come_out(tmp_path: Path, out: Path, pack: Packer) -> None:
    files = [data_file(member, MEMBERS[member]) for member in (ROWS, MORE)]
    extract(write(tmp_path, pack(MEMBERS)), files, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        "rows.csv": MEMBERS[ROWS],
        "more.csv": MEMBERS[MORE],
    }


@each_form
def test_a_missing_member_is_not_found(tmp_path: Path, out: Path, pack: Packer) -> None:
    with pytest.raises(NotFound, match=r"holds no tiny/absent\.csv"):
        extract(write(tmp_path, pack(MEMBERS)), [data_file("tiny/absent.csv", b"")], out)


@each_form
def test_a_member_of_another_content_is_data_loss(tmp_path: Path, out: Path, pack: Packer) -> None:
    with pytest.raises(DataLoss, match="SHA-256"):
        extract(write(tmp_path, pack({ROWS: b"abd"})), [data_file(ROWS, b"abc")], out)


@each_form
def test_a_member_shorter_than_stated_is_data_loss(tmp_path: Path, out: Path, pack: Packer) -> None:
    with pytest.raises(DataLoss, match="has 2 bytes"):
        extract(write(tmp_path, pack({ROWS: b"ab"})), [data_file(ROWS, b"abc")], out)


@each_form
def test_a_member_larger_than_stated_stops_at_the_stated_size(tmp_path: Path, out: Path, pack: Packer) -> None:
    with pytest.raises(DataLoss, match="larger than the 3 bytes"):
        extract(write(tmp_path, pack({ROWS: b"abc" * 1_000_000})), [data_file(ROWS, b"abc")], out)
    assert (out / "rows.csv").stat().st_size == 0


@each_form
def test_a_truncated_archive_is_data_loss(tmp_path: Path, out: Path, pack: Packer) -> None:
    noise = random.Random(7).randbytes(100_000)
    whole = pack({ROWS: noise})
    with pytest.raises(DataLoss):
        extract(write(tmp_path, whole[: len(whole) // 2]), [data_file(ROWS, noise)], out)


@each_form
def test_a_damaged_archive_is_data_loss(tmp_path: Path, out: Path, pack: Packer) -> None:
    noise = random.Random(7).randbytes(100_000)
    damaged = bytearray(pack({ROWS: noise}))
    damaged[len(damaged) // 2] ^= 0xFF
    with pytest.raises(DataLoss):
        extract(write(tmp_path, bytes(damaged)), [data_file(ROWS, noise)], out)


@pytest.mark.parametrize("data", [b"", b"<html>not here</html>", b"PK\x03\x04", b"\x1f\x8b"])
def test_what_is_no_archive_is_data_loss(tmp_path: Path, out: Path, data: bytes) -> None:
    with pytest.raises(DataLoss, match="no archive that can be read"):
        extract(write(tmp_path, data), [data_file(ROWS, b"")], out)


@each_form
def test_a_member_named_to_climb_lands_under_the_files_own_name(tmp_path: Path, out: Path, pack: Packer) -> None:
    climbing = "../../climbed.csv"
    extract(write(tmp_path, pack({climbing: b"abc"})), [data_file(climbing, b"abc")], out)
    assert [path.name for path in out.iterdir()] == ["climbed.csv"]


def test_a_link_in_a_tarball_is_refused(tmp_path: Path, out: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        link = tarfile.TarInfo(ROWS)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        opened.addfile(link)
    with pytest.raises(DataLoss, match="not a plain file"):
        extract(write(tmp_path, buffer.getvalue()), [data_file(ROWS, b"")], out)


def test_an_encrypted_member_is_data_loss(tmp_path: Path, out: Path) -> None:
    locked = bytearray(zipped({ROWS: b"abc"}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(signature) + flags] |= 1
    with pytest.raises(DataLoss, match="encrypted"):
        extract(write(tmp_path, bytes(locked)), [data_file(ROWS, b"abc")], out)


def test_a_tarball_that_unpacks_to_too_much_is_refused_before_the_member(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "UNPACKED_BYTES_MAX", 50_000)
    bomb = write(tmp_path, tarred({"filler": bytes(60_000), ROWS: b"abc"}))
    with pytest.raises(DataLoss, match="unpacks to more than"):
        extract(bomb, [data_file(ROWS, b"abc")], out)


def test_a_tarball_of_too_many_members_is_refused(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MEMBERS_MAX", 3)
    crowd = write(tmp_path, tarred({**{f"filler/{number}": b"" for number in range(3)}, ROWS: b"abc"}))
    with pytest.raises(DataLoss, match="unpacks to more than"):
        extract(crowd, [data_file(ROWS, b"abc")], out)


def test_sha256_of_is_the_digest_of_the_bytes(tmp_path: Path) -> None:
    assert sha256_of(write(tmp_path, b"abc")) == sha256(b"abc")
