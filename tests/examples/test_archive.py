"""The example's own parts, on a small file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from xxhash import xxh3_128_hexdigest

from soundstage import Stage
from soundstage.data.kv import KeyValue
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

PATH = Path(__file__).resolve().parents[2] / "examples" / "archive" / "archive.py"


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("archive", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_largest_file_is_found_however_deep(example: Any, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "small").write_bytes(b"1")
    (tmp_path / "a" / "b" / "large").write_bytes(bytes(100))
    assert example.largest_file(tmp_path) == tmp_path / "a" / "b" / "large"


def test_a_checksum_is_that_of_the_whole_file(example: Any, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    assert example.checksum(tmp_path / "file") == xxh3_128_hexdigest(content)


async def test_a_file_is_kept_and_fetched(example: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "file"
    source.write_bytes(bytes(range(256)) * 8_000)
    async with Stage.open(data="memory:") as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="archive", abstraction="kv"))
        archive = stage.client(KeyValue, "archive")
        await example.keep(archive, source)
        await example.fetch(archive, source, tmp_path / "copy")
    said = capsys.readouterr().out
    assert said.count("True") == 4
    assert "the cable was pulled" in said
