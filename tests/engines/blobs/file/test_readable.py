"""The paths at which other programs find blobs: to be read, one for each key, and none in another's way."""

from __future__ import annotations

from itertools import product
from pathlib import PurePosixPath

import pytest

from soundstage.engines.blobs.file.readable import readable
from soundstage.engines.blobs.port import KEY_MAX_CHARS

NAME_MAX_BYTES = 255

TRICKY = [
    "a",
    "b",
    "a.b",
    "a.",
    "-a",
    "_",
    "x" * 200,
    "x" * 201,
    "x" * 202,
    "x" * 201 + ".p",
    "x" * 201 + "." + "y" * 20,
]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("timeseries/ab12/7/run/00000.parquet", "timeseries/ab12/7/run/00000.parquet"),
        ("timeseries/ab12/7/run/list", "timeseries/ab12/7/run/list~"),
        ("v1.2/poster", "v1.2~/poster~"),
    ],
)
def test_a_key_is_read_from_its_path(key: str, path: str) -> None:
    assert readable(key) == path


def test_what_is_too_long_for_a_file_system_keeps_its_beginning_and_its_ending() -> None:
    path = readable("m" * 400 + ".parquet")
    assert path.startswith("m" * 160 + "~")
    assert path.endswith(".parquet")


def test_no_two_keys_have_one_path_and_no_path_leads_through_another() -> None:
    keys = ["/".join(parts) for depth in (1, 2, 3) for parts in product(TRICKY, repeat=depth)]
    paths = [readable(key) for key in keys if len(key) <= KEY_MAX_CHARS]
    known = set(paths)
    assert len(known) == len(paths)
    assert not [path for path in paths if any(str(above) in known for above in PurePosixPath(path).parents)]
    assert max(len(part) for path in paths for part in path.split("/")) <= NAME_MAX_BYTES
