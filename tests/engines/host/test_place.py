"""The socket in the folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from soundstage.core.errors import Unavailable
from soundstage.engines.host import place


def test_the_socket_is_the_owners_alone_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        place.listening(tmp_path / "HOST").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "HOST").stat().st_mode) == 0o600


def test_the_mask_is_as_before(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        place.listening(tmp_path / "HOST").close()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_what_a_process_that_died_left_is_replaced(tmp_path: Path) -> None:
    place.listening(tmp_path / "HOST").close()
    with pytest.raises(ConnectionRefusedError):
        place.connected(tmp_path / "HOST")
    listener = place.listening(tmp_path / "HOST")
    place.connected(tmp_path / "HOST").close()
    listener.close()


def test_the_place_of_a_process_that_lives_is_left_to_it(tmp_path: Path) -> None:
    listener = place.listening(tmp_path / "HOST")
    with pytest.raises(Unavailable, match="another process"):
        place.listening(tmp_path / "HOST")
    place.connected(tmp_path / "HOST").close()
    listener.close()


def test_a_folder_of_any_depth_will_do(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-long-name-of-a-folder"] * 12)
    deep.mkdir(parents=True)
    listener = place.listening(deep / "HOST")
    place.connected(deep / "HOST").close()
    listener.close()


def test_a_folder_that_is_not_there_cannot_be_listened_in(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        place.listening(tmp_path / "none" / "HOST")
    assert not refused.value.retryable


def test_a_socket_is_removed_once_and_again(tmp_path: Path) -> None:
    place.listening(tmp_path / "HOST").close()
    place.remove(tmp_path / "HOST")
    place.remove(tmp_path / "HOST")
    assert list(tmp_path.iterdir()) == []
