"""Disks and folders as they go wrong for real: full, read-only, torn, damaged."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from tests.engines.records.rocksdb import filler
from tests.engines.records.rocksdb.store import Store
from tests.engines.rocks.images import cut, log_of, overwrite

from soundstage.core.errors import DataLoss, SoundstageError, Unavailable
from soundstage.core.size import Size
from soundstage.engines.records.rocksdb import RocksOptions, repair
from soundstage.engines.rocks.folder import holder
from soundstage.testing.records.bench import RECORD

ROOT = Path(__file__).parents[4]
COUNT = 50
LOT = 10


# -- a full disk


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """A folder on a disk that became full, and what was said there."""
    folder = str(tmp_path_factory.mktemp("full") / "store")
    command = [sys.executable, "-m", "tests.engines.records.rocksdb.filler", folder, "300000"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    return folder, json.loads(done.stdout)


def test_a_full_disk_is_unavailable_with_the_reason(filled: tuple[str, dict[str, Any]]) -> None:
    refusal = filled[1]["said"][0]
    assert (refusal["code"], refusal["outcome"], refusal["retryable"]) == ("unavailable", "unknown", True)
    assert "the disk did not take the write: IO error: While appending to file" in refusal["detail"]
    assert "File too large" in refusal["detail"]


def test_after_a_full_disk_everybody_is_told_why_until_a_restart(filled: tuple[str, dict[str, Any]]) -> None:
    said = filled[1]["said"][1:]
    assert [(each["code"], each["outcome"]) for each in said] == [("unavailable", "not_applied")] * 2
    assert all("closed after a failed write" in each["detail"] and "File too large" in each["detail"] for each in said)


def test_a_full_disk_loses_nothing_that_was_acknowledged(filled: tuple[str, dict[str, Any]]) -> None:
    folder, told = filled
    keys = asyncio.run(filler.keys_in(folder))
    assert told["acknowledged"] > 200
    assert keys[: told["acknowledged"]] == [b"%08d" % number for number in range(told["acknowledged"])]
    assert len(keys) - told["acknowledged"] in (0, 1)


# -- a folder that may not be written to


@contextmanager
def without_privileges(folder: Path) -> Generator[None, None, None]:
    """Permissions apply, as they do to everybody but root; the folder and all below are this user's own."""
    root = os.geteuid() == 0
    if root:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 65_534, 65_534)
        os.seteuid(65_534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder below which somebody without privileges may go."""
    folder = Path(mkdtemp(prefix="soundstage-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


async def write_some(store: Store) -> None:
    # What comes at one moment is one batch of the log, and would be lost as one.
    for start in range(0, COUNT, LOT):
        await asyncio.gather(*(store.put(b"%04d" % at, b"value", at=at) for at in range(start, start + LOT)))


async def test_a_read_only_folder_is_unavailable_with_the_reason(reachable: Path) -> None:
    store = Store(str(reachable / "store"))
    await store.open()
    await write_some(store)
    await store.close()
    with without_privileges(reachable):
        make_read_only(reachable / "store")
        with pytest.raises(Unavailable, match=r"cannot be used: .*Permission denied") as caught:
            await store.open()
    assert "a folder which this user may write to" in str(caught.value.hint)


def make_read_only(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)


def make_writable(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)


async def test_a_read_only_folder_loses_nothing(reachable: Path) -> None:
    store = Store(str(reachable / "store"))
    await store.open()
    await write_some(store)
    await store.close()
    with without_privileges(reachable):
        make_read_only(reachable / "store")
        with pytest.raises(Unavailable):
            await store.open()
        make_writable(reachable / "store")
        await store.open()
        assert len(await store.values()) == COUNT
        await store.close()


async def test_a_folder_that_cannot_be_made_is_unavailable(reachable: Path) -> None:
    with without_privileges(reachable):
        os.chmod(reachable, 0o555)
        with pytest.raises(Unavailable, match="Permission denied"):
            await Store(str(reachable / "store")).open()


async def test_a_folder_that_becomes_read_only_under_an_engine_loses_nothing_acknowledged(reachable: Path) -> None:
    """The log goes on in the file that is open; the next file cannot be made, and the writers are told so."""
    with without_privileges(reachable):
        store = Store(str(reachable / "store"), RocksOptions(write_buffer=Size(64 << 10)))
        await store.open()
        make_read_only(reachable / "store")
        acknowledged, error = await write_until_refused(store)
        assert isinstance(error, Unavailable)
        assert "Permission denied" in error.detail
        await store.close()
        make_writable(reachable / "store")
        await store.open()
        assert [key for key, _ in await store.rows()][:acknowledged] == [b"%06d" % each for each in range(acknowledged)]
        await store.close()


async def write_until_refused(store: Store) -> tuple[int, SoundstageError]:
    for number in range(10_000):
        try:
            await store.put(b"%06d" % number, b"v" * 5_000, at=number)
        except SoundstageError as error:
            return number, error
    raise AssertionError("the folder took everything")


# -- a crash, and what it leaves of the log


@pytest.fixture
async def crashed(store: Store, tmp_path: Path) -> Store:
    """What a crash leaves of a store in which everything was acknowledged."""
    await write_some(store)
    folder = tmp_path / "crashed"
    shutil.copytree(store.folder, folder, ignore=shutil.ignore_patterns("LOCK"))
    return Store(str(folder))


async def test_everything_acknowledged_is_there_after_a_crash(crashed: Store) -> None:
    await crashed.open()
    assert len(await crashed.values()) == COUNT
    await crashed.close()


@pytest.mark.parametrize("size", [1, 5, 50])
async def test_a_torn_last_write_takes_nothing_acknowledged_along(
    store: Store, crashed: Store, size: int, tmp_path: Path
) -> None:
    """A write that was under way when the power went is there by a half, which is none of it."""
    await store.send(store.write(at=100, markers=[b"%04d" % number for number in range(COUNT)]))
    shutil.rmtree(crashed.folder)
    shutil.copytree(store.folder, crashed.folder, ignore=shutil.ignore_patterns("LOCK"))
    cut(log_of(Path(crashed.folder)), size)
    await crashed.open()
    assert len(await crashed.values()) == COUNT
    await crashed.close()


async def test_damage_inside_the_log_is_refused_and_repair_opens_it(crashed: Store) -> None:
    log = log_of(Path(crashed.folder))
    overwrite(log, 0.5, b"\xff" * 30)
    with pytest.raises(DataLoss) as caught:
        await crashed.open()
    assert str(log) in caught.value.detail
    assert "soundstage data repair --accept-loss" in str(caught.value.hint)
    assert holder(crashed.folder) is None
    assert repair(crashed.folder, accept_loss=True).method == "log"
    await crashed.open()
    assert 0 < len(await crashed.values()) < COUNT
    await crashed.put(b"key", b"value", at=1_000, record=RECORD)
    await crashed.close()


# -- the same at the command line


def soundstage(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "soundstage", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={name: value for name, value in os.environ.items() if not name.startswith("SOUNDSTAGE_")},
    )


def make_folder(data: Path) -> None:
    """`data` is the folder of a stage that has a namespace."""
    words = ("--namespace.name", "films", "--namespace.abstraction", "kv", "--data", str(data))
    made = soundstage("namespaces", "put", *words)
    assert made.returncode == 0, made.stderr


@pytest.mark.slow
def test_a_damaged_folder_is_refused_at_start_repaired_and_served(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_folder(data)
    table = max((data / "records").glob("*.sst"), key=lambda path: path.stat().st_mtime_ns)
    cut(table, 100)
    refused = soundstage("up", "--data", str(data), "--port", "0")
    assert refused.returncode == 1
    assert table.name in refused.stderr
    assert "soundstage data repair --accept-loss" in refused.stderr
    repaired = soundstage("data", "repair", "--accept-loss", "--data", str(data), "--output", "json")
    assert repaired.returncode == 0, repaired.stderr
    assert json.loads(repaired.stdout)["folders"][0]["method"] == "tables"
    again = soundstage("namespaces", "list", "--data", str(data))
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
def test_a_folder_of_a_newer_format_is_refused_at_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_folder(data)
    (data / "records" / "FORMAT").write_text('{"format":2,"engine":"rocksdb"}')
    refused = soundstage("up", "--data", str(data), "--port", "0")
    assert refused.returncode == 2
    assert "has the format 2" in refused.stderr
    assert "the release that wrote it" in refused.stderr
