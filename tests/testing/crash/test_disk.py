from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest

from soundstage.testing.crash.disk import NoCompiler, build_shim, flushed_sizes, lose_power, shim_variables

Run = Callable[[str], None]


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def run(shim: Path, data: Path, journal: Path) -> Run:
    """Runs Python in the data folder, on a disk that remembers."""

    def run(code: str, delay_ms: int = 0) -> None:
        variables = {**os.environ, **shim_variables(shim, journal, delay_ms)}
        subprocess.run([sys.executable, "-c", f"import os\n{code}"], cwd=data, env=variables, check=True, timeout=60)

    return run


WRITE = """
def write(name, content, flush):
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, content)
    if flush: flush(file)
    os.close(file)
"""


@pytest.mark.parametrize("flush", ["os.fsync", "os.fdatasync"])
def test_what_was_flushed_is_kept_and_what_was_not_is_lost(run: Run, data: Path, journal: Path, flush: str) -> None:
    run(f"{WRITE}\nwrite('log', b'kept', {flush}); write('log', b'lost', None)")
    assert lose_power(data, journal) == 4
    assert (data / "log").read_bytes() == b"kept"


def test_a_file_that_was_never_flushed_is_empty(run: Run, data: Path, journal: Path) -> None:
    run(f"{WRITE}\nwrite('log', b'lost', None)")
    assert lose_power(data, journal) == 4
    assert (data / "log").read_bytes() == b""


def test_a_file_that_was_flushed_whole_is_kept_whole(run: Run, data: Path, journal: Path) -> None:
    run(f"{WRITE}\nwrite('log', b'one', os.fsync); write('log', b'two', os.fsync)")
    assert lose_power(data, journal) == 0
    assert (data / "log").read_bytes() == b"onetwo"


def test_files_below_the_folder_are_cut_too(run: Run, data: Path, journal: Path) -> None:
    run(f"{WRITE}\nos.mkdir('deep'); write('deep/log', b'lost', None)")
    assert lose_power(data, journal) == 4


def test_a_second_power_loss_takes_nothing_more(run: Run, data: Path, journal: Path) -> None:
    run(f"{WRITE}\nwrite('log', b'kept', os.fsync); write('log', b'lost', None)")
    lose_power(data, journal)
    assert lose_power(data, journal) == 0


@pytest.mark.parametrize("end", ["os.unlink('old')", "write('new', b'', None); os.rename('new', 'old')"])
def test_what_was_flushed_of_a_file_that_is_gone_counts_for_no_other(
    run: Run, data: Path, journal: Path, end: str
) -> None:
    """File systems give an inode to the next file as soon as it is free."""
    remember = "open('inode', 'w').write(str(os.stat('old').st_ino))"
    run(f"{WRITE}\nwrite('old', b'x' * 9, os.fsync)\n{remember}\n{end}")
    assert flushed_sizes(journal)[int((data / "inode").read_text())] == 0


def test_a_renamed_file_keeps_what_was_flushed(run: Run, data: Path, journal: Path) -> None:
    run(f"{WRITE}\nwrite('draft', b'kept', os.fsync); os.rename('draft', 'file')")
    lose_power(data, journal)
    assert (data / "file").read_bytes() == b"kept"


def test_a_file_with_another_name_is_not_gone_with_one(run: Run, data: Path, journal: Path) -> None:
    run(f"{WRITE}\nwrite('one', b'kept', os.fsync); os.link('one', 'two'); os.unlink('one')")
    lose_power(data, journal)
    assert (data / "two").read_bytes() == b"kept"


def test_a_flush_that_fails_keeps_nothing(run: Run, data: Path, journal: Path) -> None:
    run(
        f"{WRITE}\nwrite('log', b'lost', None)\nread, end = os.pipe()\n"
        "try: os.fsync(read)\nexcept OSError: pass\nelse: raise SystemExit('a pipe was flushed')"
    )
    assert lose_power(data, journal) == 4


def test_a_slow_disk_takes_its_time_for_every_flush(shim: Path, data: Path, journal: Path) -> None:
    flushes = "for _ in range(3): write('log', b'x', os.fsync)"
    code = f"{WRITE}\nimport time\nbegan = time.monotonic()\n{flushes}\nprint(time.monotonic() - began)"
    variables = {**os.environ, **shim_variables(shim, journal, 20)}
    done = subprocess.run(
        [sys.executable, "-c", f"import os\n{code}"],
        cwd=data,
        env=variables,
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert float(done.stdout) >= 0.06


def entries(*records: tuple[int, int]) -> bytes:
    return b"".join(pack("@QQ", *record) for record in records)


@pytest.mark.parametrize(
    ("records", "sizes"),
    [
        ([], {}),
        ([(1, 10), (2, 5)], {1: 10, 2: 5}),
        ([(1, 10), (1, 20)], {1: 20}),
        ([(1, 20), (1, 10)], {1: 20}),
        ([(1, 20), (1, 0)], {1: 0}),
        ([(1, 20), (1, 0), (1, 5)], {1: 5}),
    ],
)
def test_the_greatest_size_since_a_file_began_counts(
    journal: Path, records: list[tuple[int, int]], sizes: dict[int, int]
) -> None:
    journal.write_bytes(entries(*records))
    assert flushed_sizes(journal) == sizes


def test_an_entry_that_was_cut_off_does_not_count(journal: Path) -> None:
    journal.write_bytes(entries((1, 10)) + b"\1\2\3")
    assert flushed_sizes(journal) == {1: 10}


def test_without_a_journal_nothing_was_flushed(journal: Path, data: Path) -> None:
    (data / "file").write_bytes(b"lost")
    assert flushed_sizes(journal) == {}
    assert lose_power(data, journal) == 4


def test_links_are_left_alone(data: Path, journal: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"kept")
    (data / "link").symlink_to(tmp_path / "elsewhere")
    assert lose_power(data, journal) == 0
    assert (tmp_path / "elsewhere").read_bytes() == b"kept"


def test_without_a_compiler_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(NoCompiler, match="apt-get install gcc libc6-dev"):
        build_shim(tmp_path)


def test_a_disk_that_is_not_slow_needs_no_delay() -> None:
    assert shim_variables(Path("/s.so"), Path("/j")) == {"LD_PRELOAD": "/s.so", "SOUNDSTAGE_SHIM_JOURNAL": "/j"}
    assert shim_variables(Path("/s.so"), Path("/j"), 5)["SOUNDSTAGE_SHIM_DELAY_MS"] == "5"
