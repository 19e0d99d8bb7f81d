"""The file of vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soundstage.engines.search.port import Field, Kind, Similarity
from soundstage.engines.search.tantivy.vectors import DEAD_MIN, Vectors


def field(similarity: Similarity = "euclidean") -> Field:
    return Field(kind=Kind.VECTOR, dimensions=2, similarity=similarity)


def live(*revisions: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(revisions, np.uint64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors"


def test_the_nearest_come_first_with_their_places(path: Path) -> None:
    vectors = Vectors(path, field())
    vectors.append([(3, [0.0, 3.0]), (5, [0.0, 1.0]), (9, [0.0, 2.0])])
    assert [place for place, _ in vectors.nearest([3, 5, 9], [0.0, 0.0], 2)] == [1, 2]
    assert [place for place, _ in vectors.nearest([9, 3], [0.0, 0.0], 9)] == [0, 1]


def test_among_none_none_is_nearest(path: Path) -> None:
    vectors = Vectors(path, field())
    assert vectors.nearest([], [0.0, 0.0], 3) == []
    vectors.append([(1, [0.0, 0.0])])
    assert vectors.nearest([], [0.0, 0.0], 3) == []


@pytest.mark.parametrize(("similarity", "expected"), [("cosine", 0.8), ("dot", 24.0), ("euclidean", 1 / 11)])
def test_a_vector_of_one_dimension_has_its_scores(path: Path, similarity: Similarity, expected: float) -> None:
    vectors = Vectors(path, field(similarity))
    vectors.append([(1, [3.0, 4.0])])
    ((_, score),) = vectors.nearest([1], [0.0, 6.0] if similarity != "euclidean" else [2.0, 1.0], 1)
    assert score == pytest.approx(expected)


def test_rows_are_there_when_the_file_is_opened_again(path: Path) -> None:
    Vectors(path, field()).append([(1, [1.0, 0.0])])
    again = Vectors(path, field())
    again.load(live(1))
    again.append([(2, [0.0, 0.0])])
    assert [place for place, _ in again.nearest([1, 2], [0.0, 0.0], 1)] == [1]


def test_a_row_that_was_cut_off_is_not_there(path: Path) -> None:
    Vectors(path, field()).append([(1, [1.0, 0.0]), (2, [2.0, 0.0])])
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    again = Vectors(path, field())
    again.load(live(1))
    again.append([(2, [5.0, 0.0])])
    assert len(path.read_bytes()) == len(whole)
    assert [score for _, score in again.nearest([2], [5.0, 0.0], 1)] == [1.0]


def test_what_is_left_of_a_write_that_failed_is_written_over(path: Path) -> None:
    vectors = Vectors(path, field())
    vectors.append([(1, [1.0, 0.0])])
    with path.open("ab") as file:
        file.write(b"half")
    vectors.append([(2, [2.0, 0.0])])
    assert [score for _, score in vectors.nearest([2], [2.0, 0.0], 1)] == [1.0]


def test_a_revision_that_is_given_again_has_the_last_vector(path: Path) -> None:
    vectors = Vectors(path, field())
    vectors.append([(1, [1.0, 0.0])])
    vectors.append([(2, [9.0, 0.0]), (3, [9.0, 0.0]), (4, [9.0, 0.0])])
    vectors.append([(3, [3.0, 0.0])])
    assert [score for _, score in vectors.nearest([1, 3], [3.0, 0.0], 1)] == [1.0]
    vectors.append([(5, [5.0, 0.0])])
    assert [place for place, _ in vectors.nearest([1, 3, 5], [5.0, 0.0], 3)] == [2, 1, 0]


def test_dead_rows_go_once_they_are_most_of_it(path: Path) -> None:
    Vectors(path, field()).append([(n, [float(n), 0.0]) for n in range(1, 2 * DEAD_MIN)])
    size = path.stat().st_size
    few = Vectors(path, field())
    few.load(live(*range(1, 90)))
    assert path.stat().st_size < size / 10
    assert [score for _, score in few.nearest([7], [7.0, 0.0], 1)] == [1.0]


def test_few_dead_rows_are_not_worth_the_writing(path: Path) -> None:
    Vectors(path, field()).append([(n, [float(n), 0.0]) for n in range(1, 100)])
    size = path.stat().st_size
    Vectors(path, field()).load(live(1))
    assert path.stat().st_size == size


def test_an_empty_file_has_no_rows(path: Path) -> None:
    path.touch()
    vectors = Vectors(path, field())
    vectors.load(live())
    vectors.append([(1, [1.0, 1.0])])
    assert len(vectors.nearest([1], [0.0, 0.0], 1)) == 1
