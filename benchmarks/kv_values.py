"""How does the time of a value grow with its size? curl puts and gets values of kv, beside nginx with the same files.

Needs `apt-get install nginx-light curl`. nginx writes and sends plain files, and flushes none, so that it stands beside
our durability `os`; ours keeps a version, hashes every byte twice and replaces the value whole.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.programs import memory_peak_mib, need, nginx, output_of
from benchmarks.report import Figure, figure, interleaved, show
from benchmarks.report import options as parsed
from soundstage.client import connect_sync
from soundstage.core.namespace import NamespaceSpec
from soundstage.runtime.namespaces.api import SyncNamespaces
from soundstage.testing.crash.process import StageProcess

PROGRAMS = {"nginx": "nginx-light", "curl": "curl"}
KIB, MIB = 1 << 10, 1 << 20
BLOCK = os.urandom(MIB)
LINEAR = 0.98
"""The least R² of time over size, by which they grow together."""

PEAK_MIB = 512.0
"""What the server may have in memory, whatever the size."""

CACHE = {"CACHE": "32MiB"}
"""What the store caches by default, 256 MiB, would be most of the peak."""


class Scale(msgspec.Struct, frozen=True):
    """How much is done: sizes of values in KiB."""

    rounds: int
    sizes: tuple[int, ...]


FULL = Scale(rounds=3, sizes=(1, 64, 1_024, 16 * 1_024, 64 * 1_024, 256 * 1_024, 1_024 * 1_024))
QUICK = Scale(rounds=3, sizes=(1, 64, 1_024, 4 * 1_024, 16 * 1_024, 64 * 1_024))


class Side:
    """A server that values are put to and got from, one address for each size."""

    def __init__(self, url: str, files: Mapping[int, Path]) -> None:
        self._url = url
        self._files = files
        self.took_s: dict[tuple[str, int], list[float]] = {}

    def put(self, size: int) -> float:
        """Seconds of putting the value of that size, in place of the one before."""
        return self._timed("put", size, "-T", str(self._files[size]))

    def get(self, size: int) -> float:
        """Seconds of getting it."""
        return self._timed("get", size)

    def best_s(self, kind: str, size: int) -> float:
        """The median of all runs."""
        return statistics.median(self.took_s[kind, size])

    def linear(self, kind: str) -> float:
        """R² of time over size."""
        sizes = sorted(self._files)
        return r_squared([float(size) for size in sizes], [self.best_s(kind, size) for size in sizes])

    def _timed(self, kind: str, size: int, *arguments: str) -> float:
        place = f"{self._url}/{size}"
        shown = output_of("curl", "-sf", "-o", os.devnull, "-w", "%{time_total}", *arguments, place)
        self.took_s.setdefault((kind, size), []).append(float(shown))
        return float(shown)


def r_squared(xs: Sequence[float], ys: Sequence[float]) -> float:
    """How much of the variation of `ys` the line through them explains."""
    return statistics.correlation(xs, ys) ** 2


@contextmanager
def served(folder: Path, durability: str, files: Mapping[int, Path]) -> Generator[tuple[Side, int]]:
    """A `soundstage up` in `folder` with a namespace for values, and its process."""
    options = {**CACHE, "DURABILITY": durability}
    variables = {f"SOUNDSTAGE_ENGINES__DEFAULT__{name}": value for name, value in options.items()}
    with StageProcess(folder, variables=variables) as server:
        with connect_sync(server.url) as stage:
            spec = NamespaceSpec(name="values", abstraction="kv")
            stage.client(SyncNamespaces).put(namespace=spec)
        yield Side(f"{server.url}/v1/kv/value/values/sizes", files), server.pid


def write_files(folder: Path, scale: Scale) -> dict[int, Path]:
    """A file of each size, by size in KiB."""
    files = {size: folder / f"{size}.bin" for size in scale.sizes}
    for size, path in files.items():
        with path.open("wb") as stream:
            for number in range(-(-size * KIB // MIB)):
                block = number.to_bytes(8, "big") + BLOCK[8:]
                stream.write(block[: min(MIB, size * KIB - number * MIB)])
    return files


def measure(scale: Scale) -> list[Figure]:
    """All figures; `need(PROGRAMS)` first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_files(folder, scale)
        with served(folder / "stage", "os", files) as (ours, pid), nginx(folder / "nginx") as (url, _):
            rival = Side(url, files)
            before = memory_peak_mib(pid)
            figures: list[Figure] = []
            for size in scale.sizes:
                put = interleaved(scale.rounds, lambda size=size: ours.put(size), lambda size=size: rival.put(size))
                got = interleaved(scale.rounds, lambda size=size: ours.get(size), lambda size=size: rival.get(size))
                figures += [compared(f"put_{shown(size)}", put), compared(f"get_{shown(size)}", got)]
            peak = memory_peak_mib(pid)
            for kind in ("put", "get"):
                note = f"R² of time over size; nginx {rival.linear(kind):.4f}"
                bench = f"kv_values.{kind}_linear"
                figures.append(figure(bench, ours.linear(kind), None, "R²", "higher", target=LINEAR, note=note))
            note = f"of the server, at its most; {before:.0f} before the first value"
            figures.append(figure("kv_values.peak", peak, None, "MiB", "lower", target=PEAK_MIB, note=note))
            return figures


def compared(name: str, seconds: Sequence[float]) -> Figure:
    """Milliseconds of ours and of nginx."""
    ours, rival = seconds
    return figure(f"kv_values.{name}", ours * 1_000, rival * 1_000, "ms", "lower")


def shown(size: int) -> str:
    """A size in KiB, in words."""
    if size < KIB:
        return f"{size}KiB"
    return f"{size // KIB}MiB" if size < MIB else f"{size // MIB}GiB"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    scale = QUICK if parsed(__doc__ or "", arguments).quick else FULL
    need(PROGRAMS)
    print("curl puts and gets one value of each size; one connection each, on the loopback, durability `os`")
    show("Values of kv by size, beside nginx", measure(scale))


if __name__ == "__main__":
    main()
