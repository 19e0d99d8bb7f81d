from __future__ import annotations

import threading
from pathlib import Path

import pytest

from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.servers.shelf import Shelf, servers_folder


def quiet(_: str) -> None:
    pass


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def write(files: Path) -> None:
    (files / "a").write_text("a")


def test_the_folder_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOUNDSTAGE_SERVERS", str(tmp_path))
    assert servers_folder() == tmp_path


def test_the_folder_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SOUNDSTAGE_SERVERS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert servers_folder() == tmp_path / "soundstage" / "servers"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert servers_folder() == tmp_path / ".cache" / "soundstage" / "servers"


def test_without_a_home_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.delenv("SOUNDSTAGE_SERVERS", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(InvalidArgument) as caught:
        servers_folder()
    assert caught.value.hint == "set SOUNDSTAGE_SERVERS"


def test_what_is_brought_is_there(shelf: Shelf) -> None:
    folder = shelf.bring("thing", write, quiet)
    assert (folder / "a").read_text() == "a"
    assert shelf.holds("thing")


def test_it_is_brought_once(shelf: Shelf) -> None:
    calls: list[Path] = []
    for _ in range(2):
        shelf.bring("thing", calls.append, quiet)
    assert len(calls) == 1


def test_one_that_fails_leaves_nothing(shelf: Shelf) -> None:
    def fail(files: Path) -> None:
        write(files)
        raise Unavailable("no network")

    with pytest.raises(Unavailable, match="no network"):
        shelf.bring("thing", fail, quiet)
    assert not shelf.holds("thing")
    assert list((shelf.folder / ".staging").iterdir()) == []


def test_what_a_killed_one_left_is_swept(shelf: Shelf) -> None:
    left = shelf.folder / ".staging" / "thing" / "files"
    left.mkdir(parents=True)
    (left / "half").touch()
    folder = shelf.bring("thing", write, quiet)
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_who_asks_meanwhile_waits_and_finds_it(shelf: Shelf) -> None:
    began, told = threading.Event(), threading.Event()
    calls: list[int] = []

    def slow(files: Path) -> None:
        calls.append(1)
        began.set()
        assert told.wait(30)

    def note(what: str) -> None:
        assert what == "waiting for another that brings thing"
        told.set()

    first = threading.Thread(target=shelf.bring, args=("thing", slow, quiet))
    first.start()
    assert began.wait(30)
    assert shelf.bring("thing", slow, note).is_dir()
    first.join(30)
    assert calls == [1]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be written") as caught:
        Shelf(tmp_path / "file").bring("thing", write, quiet)
    assert "SOUNDSTAGE_SERVERS" in str(caught.value.hint)
