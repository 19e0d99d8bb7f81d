"""Files over HTTP as they are measured, at the least size; nginx is not needed for that."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import httpx2
import pytest
from benchmarks.programs import NGINX

from benchmarks import blobs


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Generator[blobs.Side]:
    folder = tmp_path_factory.mktemp("blobs")
    (folder / "file").write_bytes(bytes(blobs.MIB))
    with blobs.served(folder / "stage", "os", folder / "file") as side:
        yield side


@pytest.mark.slow
def test_a_file_is_sent_and_fetched_and_timed(side: blobs.Side) -> None:
    assert side.upload() > 0
    assert side.download() > 0
    assert {kind: len(found) for kind, found in side.cpu_s.items()} == {"upload": 1, "download": 1}


@pytest.mark.slow
def test_every_upload_takes_the_place_of_the_one_before(side: blobs.Side) -> None:
    side.upload()
    before = side._sent
    side.upload()
    assert httpx2.head(before).status_code == 404
    assert httpx2.head(side._sent).headers["content-length"] == str(blobs.MIB)


def test_a_figure_names_the_processor_time_of_both_sides(tmp_path: Path) -> None:
    ours, rival = (blobs.Side("http://localhost", 1, tmp_path) for _ in range(2))
    ours.cpu_s["upload"], rival.cpu_s["upload"] = [2.0, 1.5], [0.25]
    found = blobs.compared("upload_durable", 100.0, 200.0, ours, rival, 0.4)
    assert (found.bench, found.ratio, found.held) == ("blobs.upload_durable", 0.5, True)
    assert found.note == "CPU s per GiB: 1.50, nginx 0.25"


def test_nginx_is_told_to_take_files(tmp_path: Path) -> None:
    settings = NGINX.format(port=7, folder=tmp_path, user="somebody")
    assert f"root {tmp_path};" in settings
    assert "dav_methods PUT DELETE;" in settings
    assert settings.count("{") == settings.count("}")
