"""Sockets to listen on."""

from __future__ import annotations

import errno
import resource
import socket
from pathlib import Path
from typing import Any

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.runtime.listening import FILES_SHARE, NotListening, Place, allow_files, listener, place_of


def test_a_host_and_a_port_are_a_place() -> None:
    assert place_of("[::1]:6379", "data", "f") == Place("::1", 6379)


def test_a_relative_path_is_below_the_data(tmp_path: Path) -> None:
    assert place_of("unix:x.sock", str(tmp_path), "f") == Place(path=str(tmp_path / "x.sock"))


def test_an_absolute_path_is_where_it_says() -> None:
    assert place_of("unix:/run/x.sock", "memory:", "f").path == "/run/x.sock"


def test_nothing_is_below_data_in_memory() -> None:
    with pytest.raises(InvalidArgument, match="in memory"):
        place_of("unix:x.sock", "memory:", "f")


def test_a_tcp_socket_listens() -> None:
    with listener(Place("127.0.0.1", 0)) as made:
        socket.create_connection(made.getsockname()).close()


def test_an_address_in_use_is_told() -> None:
    with listener(Place("127.0.0.1", 0)) as made:
        port = made.getsockname()[1]
        with pytest.raises(NotListening) as refused:
            listener(Place("127.0.0.1", port))
    assert (refused.value.errno, refused.value.address) == (errno.EADDRINUSE, f"127.0.0.1:{port}")


class TestUnix:
    def test_a_socket_is_for_its_owner(self, tmp_path: Path) -> None:
        with listener(Place(path=str(tmp_path / "s"))):
            assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600

    def test_one_that_was_left_behind_is_replaced(self, tmp_path: Path) -> None:
        listener(Place(path=str(tmp_path / "s"))).close()
        assert (tmp_path / "s").exists()
        with listener(Place(path=str(tmp_path / "s"))), socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(tmp_path / "s"))

    def test_one_in_use_is_not(self, tmp_path: Path) -> None:
        with listener(Place(path=str(tmp_path / "s"))), pytest.raises(NotListening) as refused:
            listener(Place(path=str(tmp_path / "s")))
        assert refused.value.errno == errno.EADDRINUSE

    def test_a_file_that_is_no_socket_is_let_be(self, tmp_path: Path) -> None:
        (tmp_path / "s").write_text("mine")
        with pytest.raises(NotListening):
            listener(Place(path=str(tmp_path / "s")))
        assert (tmp_path / "s").read_text() == "mine"

    def test_a_folder_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(NotListening) as refused:
            listener(Place(path=str(tmp_path / "no" / "s")))
        assert refused.value.errno == errno.ENOENT


class TestFiles:
    """How many connections the limits of the process allow."""

    @pytest.fixture(autouse=True)
    def limits(self) -> Any:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    def test_the_soft_limit_is_raised_for_them(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert allow_files(300) == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 300 / FILES_SHARE

    def test_it_is_not_lowered(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert allow_files(10) == 10
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == before

    def test_a_hard_limit_means_fewer_connections(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        allowed = allow_files(1_000_000_000)
        assert allowed == 1_000_000_000 if hard == resource.RLIM_INFINITY else allowed == round(hard * FILES_SHARE)
