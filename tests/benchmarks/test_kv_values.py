"""Values of kv as they are measured, at small sizes; nginx is not needed for that."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from benchmarks.programs import memory_peak_mib

from benchmarks import kv_values

SMALL = kv_values.Scale(rounds=1, sizes=(1, 64, 2_048))


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Generator[kv_values.Side]:
    folder = tmp_path_factory.mktemp("values")
    with kv_values.served(folder / "stage", "os", kv_values.write_files(folder, SMALL)) as (side, pid):
        assert memory_peak_mib(pid) > 10
        yield side


@pytest.mark.slow
def test_every_size_is_put_and_got_and_timed(side: kv_values.Side) -> None:
    for size in SMALL.sizes:
        assert side.put(size) > 0
        assert side.get(size) > 0
    assert {kind for kind, _ in side.took_s} == {"put", "get"}
    assert 0 <= side.linear("get") <= 1


def test_a_file_has_its_size(tmp_path: Path) -> None:
    files = kv_values.write_files(tmp_path, SMALL)
    assert {size: path.stat().st_size for size, path in files.items()} == {1: 1_024, 64: 65_536, 2_048: 2_097_152}


def test_a_line_explains_all_of_what_lies_on_it() -> None:
    assert kv_values.r_squared([1.0, 2.0, 3.0], [5.0, 7.0, 9.0]) == pytest.approx(1.0)
    assert kv_values.r_squared([1.0, 2.0, 3.0], [5.0, 9.0, 5.1]) < 0.1


def test_the_median_of_all_runs_counts(tmp_path: Path) -> None:
    side = kv_values.Side("http://localhost", {1: tmp_path, 2: tmp_path})
    side.took_s = {("put", 1): [1.0, 9.0, 2.0], ("put", 2): [4.0]}
    assert (side.best_s("put", 1), side.linear("put")) == (2.0, pytest.approx(1.0))


def test_a_figure_is_of_milliseconds_and_less_is_better() -> None:
    found = kv_values.compared("put_1MiB", [0.01, 0.005])
    assert (found.bench, found.ours, found.ratio, found.unit) == ("kv_values.put_1MiB", 10.0, 0.5, "ms")


@pytest.mark.parametrize(("size", "text"), [(1, "1KiB"), (64, "64KiB"), (1_024, "1MiB"), (1_048_576, "1GiB")])
def test_sizes_are_told_in_words(size: int, text: str) -> None:
    assert kv_values.shown(size) == text


def test_the_peak_of_a_process_is_more_than_nothing() -> None:
    assert memory_peak_mib(os.getpid()) > 1
