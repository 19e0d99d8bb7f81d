from __future__ import annotations

from typing import Any

import msgspec
import pytest

from soundstage.core.codec import convert
from soundstage.core.errors import InvalidArgument
from soundstage.engines.rocks.options import RocksOptions


def test_the_default_is_durable_by_groups() -> None:
    assert RocksOptions().durability == "group"


def test_sizes_are_written_as_in_the_stage_file() -> None:
    options = convert({"cache": "1GiB", "headers": "8MiB", "write_buffer": 1024}, RocksOptions)
    assert (options.cache, options.headers, options.write_buffer) == (1 << 30, 8 << 20, 1024)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"durability": "sometimes"}, "durability"),
        ({"open_files": 1}, "open_files"),
        ({"cache": "lots"}, "cache"),
        ({"cash": 1}, "cash"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        convert(given, RocksOptions)
    assert caught.value.field == field


@pytest.mark.parametrize("field", [field.name for field in msgspec.structs.fields(RocksOptions)])
def test_every_option_but_the_durability_says_what_it_is(field: str) -> None:
    described = msgspec.inspect.type_info(RocksOptions)
    assert isinstance(described, msgspec.inspect.StructType)
    kind = next(each.type for each in described.fields if each.name == field)
    said = isinstance(kind, msgspec.inspect.Metadata) and bool((kind.extra_json_schema or {}).get("description"))
    assert said or field == "durability"
