from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.script.machine import DPKG_DEB, PRIVATE_APT

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Unavailable
from soundstage.servers.debian import library_path, missing, turn_links, unpack
from soundstage.servers.work import Work


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work", SystemEnvironment(), lambda _: None)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for apt and dpkg that write down what they were asked; `gcc` needs `libgcc`."""
    (tmp_path / "bin").mkdir()
    for name, script in (("apt-get", PRIVATE_APT), ("dpkg-deb", DPKG_DEB)):
        path = tmp_path / "bin" / name
        path.write_text(script)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MACHINE", str(tmp_path))
    return tmp_path / "calls"


def test_a_package_and_what_it_needs_are_unpacked(apt: Path, work: Work, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    unpack(("gcc",), root, work)
    assert {path.name for path in (root / "usr" / "bin").iterdir()} == {"gcc", "libgcc"}


def test_apt_is_asked_for_nothing_that_touches_the_system(apt: Path, work: Work, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    unpack(("gcc",), tmp_path / "root", work)
    calls = apt.read_text().splitlines()
    assert len(calls) == 3
    assert all(f"Dir::State::Lists={work.folder}/apt/lists" in call for call in calls)
    assert all("install" not in call or "--print-uris" in call for call in calls)


def test_a_system_without_apt_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, work: Work, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="cannot bring memcached: this system has no apt") as caught:
        unpack(("memcached",), tmp_path, work)
    assert "apt-get install memcached" in str(caught.value.hint)


def test_what_is_missing_is_named_with_all_its_packages() -> None:
    assert "apt-get install a b" in str(missing(("a", "b"), "no reason").hint)


def test_an_absolute_link_leads_to_the_copy(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "conf").write_text("ours")
    (tmp_path / "usr" / "lib" / "java").mkdir(parents=True)
    link = tmp_path / "usr" / "lib" / "java" / "conf"
    link.symlink_to("/etc/conf")
    turn_links(tmp_path)
    assert link.read_text() == "ours"
    assert not link.readlink().is_absolute()


def test_links_survive_that_the_folder_is_renamed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "conf").write_text("ours")
    (root / "conf").symlink_to("/etc/conf")
    turn_links(root)
    root.rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "conf").read_text() == "ours"


def test_a_link_to_what_was_not_unpacked_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/no/such/file")
    (tmp_path / "beside").symlink_to("link")
    turn_links(tmp_path)
    assert (tmp_path / "link").readlink() == Path("/no/such/file")
    assert (tmp_path / "beside").readlink() == Path("link")


def test_shared_libraries_are_found_in_both_places(tmp_path: Path) -> None:
    for place in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"):
        (tmp_path / place).mkdir(parents=True)
    assert library_path(tmp_path) == f"{tmp_path}/lib/x86_64-linux-gnu:{tmp_path}/usr/lib/x86_64-linux-gnu"
