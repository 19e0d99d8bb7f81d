"""How fast do files go in and out over HTTP? curl sends and fetches one, next to nginx with the same file.

Needs `apt-get install nginx-light curl`. nginx serves with sendfile and takes files by PUT without flushing them, so
that it stands beside our durability `os`; ours hashes and checks every byte besides.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.programs import cpu_seconds, need, nginx, output_of
from benchmarks.report import Figure, figure, interleaved, options, show
from soundstage.testing.crash.process import StageProcess

PROGRAMS = {"nginx": "nginx-light", "curl": "curl"}
MIB = 1 << 20
BLOCK = os.urandom(MIB)


class Scale(msgspec.Struct, frozen=True):
    """How much is done: the file's size in MiB."""

    rounds: int
    size: int


FULL = Scale(rounds=7, size=1_024)
QUICK = Scale(rounds=3, size=256)


class Side:
    """A server that files are sent to and fetched from. `cpu_s` holds its CPU seconds per GiB of every run."""

    def __init__(self, url: str, pid: int, path: Path) -> None:
        self._url = url
        self._pid = pid
        self._path = path
        self._sent = ""
        self.cpu_s: dict[str, list[float]] = {}

    def upload(self) -> float:
        """MiB per second of sending the file, in place of the one before."""
        if self._sent:
            output_of("curl", "-sf", "-X", "DELETE", self._sent)
        self._sent = f"{self._url}/01a217f9-a4fd-7a4f-b236-{os.urandom(6).hex()}"
        return self._timed("upload", "-T", str(self._path), self._sent)

    def download(self) -> float:
        """MiB per second of fetching the file that was sent last."""
        return self._timed("download", self._sent)

    def _timed(self, kind: str, *arguments: str) -> float:
        before, size = cpu_seconds(self._pid), self._path.stat().st_size / MIB
        shown = output_of("curl", "-sf", "-o", os.devnull, "-w", "%{time_total}", *arguments)
        self.cpu_s.setdefault(kind, []).append((cpu_seconds(self._pid) - before) * 1_024 / size)
        return size / max(float(shown), 1e-6)


@contextmanager
def served(folder: Path, durability: str, path: Path) -> Generator[Side]:
    """A `soundstage up` in `folder`."""
    variables = {"SOUNDSTAGE_ENGINES__BLOBS__DURABILITY": durability}
    with StageProcess(folder, variables=variables) as server:
        yield Side(f"{server.url}/v1/blobs", server.pid, path)


def measure(scale: Scale) -> list[Figure]:
    """All figures; `need(PROGRAMS)` first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "file"
        with path.open("wb") as stream:
            for number in range(scale.size):
                stream.write(number.to_bytes(8, "big") + BLOCK[8:])
        with (
            served(folder / "os", "os", path) as ours,
            served(folder / "group", "group", path) as durable,
            nginx(folder / "nginx") as (url, pid),
        ):
            rival = Side(url, pid, path)
            sent = interleaved(scale.rounds, ours.upload, durable.upload, rival.upload)
            fetched = interleaved(scale.rounds, ours.download, rival.download)
            return [
                compared("upload", sent[0], sent[2], ours, rival, 0.5),
                compared("upload_durable", sent[1], sent[2], durable, rival, None),
                compared("download", fetched[0], fetched[1], ours, rival, 0.5),
            ]


def compared(name: str, ours: float, rival: float, mine: Side, other: Side, target: float | None) -> Figure:
    """A figure in MiB/s, with the CPU that it took on both sides."""
    kind = name.partition("_")[0]
    note = f"CPU s per GiB: {best(mine.cpu_s, kind):.2f}, nginx {best(other.cpu_s, kind):.2f}"
    return figure(f"blobs.{name}", ours, rival, "MiB/s", "higher", target=target, note=note)


def best(cpu_s: dict[str, list[float]], kind: str) -> float:
    """The least CPU time of any run of that kind."""
    return min(cpu_s[kind], default=0.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    scale = QUICK if options(__doc__ or "", arguments).quick else FULL
    need(PROGRAMS)
    print("curl sends and fetches one file of", scale.size, "MiB; one connection, on the loopback")
    show("Files over HTTP beside nginx", measure(scale))


if __name__ == "__main__":
    main()
