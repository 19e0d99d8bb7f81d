from __future__ import annotations

import msgspec
import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.datasets import DataFile, Dataset


def test_rows_and_size_add_up_over_the_files(tiny: Dataset) -> None:
    assert (tiny.rows, tiny.size) == (4, sum(file.size for file in tiny.files))


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", ".hidden", "nul\0", "a" * 129, "space d"])
def test_a_file_that_would_leave_its_folder_is_refused(tiny: Dataset, name: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot name a file"):
        msgspec.structs.replace(tiny.files[0], name=name)


@pytest.mark.parametrize("name", ["", "..", "x/../../y"])
def test_a_dataset_that_would_leave_the_cache_is_refused(tiny: Dataset, name: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot name a file"):
        msgspec.structs.replace(tiny, name=name)


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64])
def test_a_file_without_a_proper_digest_is_refused(digest: str) -> None:
    with pytest.raises(InvalidArgument, match="is no SHA-256"):
        DataFile(name="rows.csv", member="rows.csv", size=1, sha256=digest, rows=1)


def test_an_archive_without_a_proper_digest_is_refused(tiny: Dataset) -> None:
    with pytest.raises(InvalidArgument, match="is no SHA-256"):
        msgspec.structs.replace(tiny.package, sha256="latest")


def test_two_files_of_one_name_are_refused(tiny: Dataset) -> None:
    with pytest.raises(InvalidArgument, match="different names"):
        msgspec.structs.replace(tiny, files=(tiny.files[0], tiny.files[0]))


def test_a_dataset_without_files_is_refused(tiny: Dataset) -> None:
    with pytest.raises(InvalidArgument, match="different names"):
        msgspec.structs.replace(tiny, files=())
