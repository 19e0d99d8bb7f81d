from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from soundstage.core.errors import DataLoss, InvalidArgument, Unavailable
from soundstage.engines.rocks import folder as module
from soundstage.engines.rocks.folder import FORMAT, FolderLock, Holder, check_format, holder, write_durably

LOCKS = "import sys; from soundstage.engines.rocks.folder import FolderLock; lock = FolderLock(sys.argv[1]); print(1)"


def test_a_lock_makes_the_folder(folder: str) -> None:
    FolderLock(f"{folder}/deep/er").release()
    assert Path(folder, "deep", "er").is_dir()


def test_a_held_folder_names_its_process(folder: str) -> None:
    lock = FolderLock(folder)
    assert holder(folder) == Holder(os.getpid(), None)
    lock.release()


def test_a_held_folder_names_the_url_that_was_announced(folder: str) -> None:
    lock = FolderLock(folder)
    lock.announce("http://127.0.0.1:7777/a/long/address")
    lock.announce("http://127.0.0.1:1")
    assert holder(folder) == Holder(os.getpid(), "http://127.0.0.1:1")
    lock.release()


def test_a_free_folder_has_no_holder(folder: str) -> None:
    FolderLock(folder).release()
    assert holder(folder) is None


@pytest.mark.parametrize("name", ["gone", "file/below"])
def test_what_is_no_folder_has_no_holder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    assert holder(str(tmp_path / name)) is None


def test_a_second_owner_is_refused_with_pid_and_url(folder: str) -> None:
    lock = FolderLock(folder)
    lock.announce("http://127.0.0.1:7777")
    with pytest.raises(Unavailable, match=f"is open in the process {os.getpid()} at http://127.0.0.1:7777") as caught:
        FolderLock(folder)
    assert (caught.value.retryable, caught.value.outcome) == (False, "not_applied")
    lock.release()


def test_a_second_owner_is_refused_even_when_the_first_left_no_name(folder: str) -> None:
    lock = FolderLock(folder)
    Path(folder, "OWNER").write_bytes(b"garbage")
    with pytest.raises(Unavailable, match="is open in another process"):
        FolderLock(folder)
    lock.release()


def test_a_refused_owner_leaves_the_name_of_the_first(folder: str) -> None:
    lock = FolderLock(folder)
    lock.announce("http://a")
    with pytest.raises(Unavailable):
        FolderLock(folder)
    assert holder(folder) == Holder(os.getpid(), "http://a")
    lock.release()


def test_releasing_twice_is_once(folder: str) -> None:
    lock = FolderLock(folder)
    lock.release()
    lock.release()
    FolderLock(folder).release()


def test_the_lock_of_a_process_that_ended_is_free(folder: str) -> None:
    done = subprocess.run([sys.executable, "-c", LOCKS, folder], check=True, capture_output=True, timeout=30)
    assert done.stdout == b"1\n"
    assert b"pid" in Path(folder, "OWNER").read_bytes()
    assert holder(folder) is None
    FolderLock(folder).release()


def test_a_file_in_the_place_of_the_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=r"cannot be used: .*File exists"):
        FolderLock(str(tmp_path / "file"))


def test_a_lock_that_cannot_name_its_owner_is_not_held(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(Unavailable, match="No space left on device"):
            FolderLock(folder)
    FolderLock(folder).release()


def test_a_new_folder_is_given_the_format_of_this_release(tmp_path: Path) -> None:
    check_format(str(tmp_path))
    assert Path(tmp_path, "FORMAT").read_bytes() == b'{"format":1,"engine":"rocksdb"}'
    check_format(str(tmp_path))


def test_a_newer_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    Path(tmp_path, "FORMAT").write_bytes(b'{"format":%d}' % (FORMAT + 1))
    with pytest.raises(InvalidArgument, match="has the format 2; this release knows 1 and older") as caught:
        check_format(str(tmp_path))
    assert caught.value.hint == "open it with the release that wrote it, or a newer one"


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b'{"format":0}', b'{"format":"one"}'])
def test_a_file_that_says_no_format_is_damage_and_named(tmp_path: Path, content: bytes) -> None:
    Path(tmp_path, "FORMAT").write_bytes(content)
    with pytest.raises(DataLoss, match=f"{tmp_path}/FORMAT does not say which format") as caught:
        check_format(str(tmp_path))
    assert "soundstage data repair --accept-loss" in str(caught.value.hint)


def test_an_older_format_is_upgraded_step_by_step(tmp_path: Path) -> None:
    check_format(str(tmp_path), 1)
    taken: list[tuple[int, bytes]] = []

    def step(number: int) -> None:
        taken.append((number, Path(tmp_path, "FORMAT").read_bytes()))

    check_format(str(tmp_path), 3, {1: lambda _: step(1), 2: lambda _: step(2)})
    assert [(number, b'"format":%d' % number in found) for number, found in taken] == [(1, True), (2, True)]
    assert b'"format":3' in Path(tmp_path, "FORMAT").read_bytes()


def test_an_upgrade_that_fails_is_taken_again(tmp_path: Path) -> None:
    check_format(str(tmp_path), 1)

    def fails(folder: str) -> None:
        raise RuntimeError("power loss")

    with pytest.raises(RuntimeError):
        check_format(str(tmp_path), 2, {1: fails})
    taken: list[str] = []
    check_format(str(tmp_path), 2, {1: taken.append})
    assert taken == [str(tmp_path)]


def test_there_is_an_upgrade_from_every_older_format() -> None:
    assert set(module.UPGRADES) == set(range(1, FORMAT))


def test_a_database_of_somebody_else_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text("MANIFEST-000001\n")
    with pytest.raises(InvalidArgument, match="without the file FORMAT") as caught:
        check_format(str(tmp_path))
    assert caught.value.field == "data"
    assert not Path(tmp_path, "FORMAT").exists()


def test_a_format_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    Path(tmp_path, "FORMAT").mkdir()
    with pytest.raises(Unavailable):
        check_format(str(tmp_path))


def test_what_is_written_durably_replaces_what_was_there(tmp_path: Path) -> None:
    write_durably(tmp_path / "file", b"one")
    write_durably(tmp_path / "file", b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"two"


def test_what_cannot_be_written_durably_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_durably(tmp_path / "file", b"one")

    def fails(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(Unavailable, match="Input/output error"):
        write_durably(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"one"
