"""Uploads and downloads in the OpenAPI description, by the example of values of the key-value store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from soundstage.data.kv.api import VALUE
from soundstage.runtime.stage import Stage
from soundstage.surface.openapi import document

PATH = f"/v1/kv/{VALUE}"


@pytest.fixture
async def described() -> AsyncIterator[dict[str, Any]]:
    async with Stage.open(data="memory:") as stage:
        yield document(stage)


def names(method: dict[str, Any], place: str) -> list[str]:
    return [each["name"] for each in method["parameters"] if each["in"] == place]


def test_both_are_at_one_address(described: dict[str, Any]) -> None:
    assert set(described["paths"][PATH]) == {"put", "get", "head"}


def test_every_part_of_the_address_is_a_parameter(described: dict[str, Any]) -> None:
    for method in described["paths"][PATH].values():
        assert names(method, "path") == ["namespace", "id", "key"]
        assert all(each["required"] for each in method["parameters"] if each["in"] == "path")


def test_the_query_has_the_other_fields_and_no_range(described: dict[str, Any]) -> None:
    at = described["paths"][PATH]
    assert names(at["put"], "query") == ["ttl", "idempotency_token", "condition"]
    assert names(at["get"], "query") == names(at["head"], "query") == ["min_version"]


def test_what_is_no_simple_value_is_json_in_the_query(described: dict[str, Any]) -> None:
    (token,) = [each for each in described["paths"][PATH]["put"]["parameters"] if each["name"] == "idempotency_token"]
    assert set(token["content"]) == {"application/json"}


def test_an_upload_takes_bytes_and_gives_a_message(described: dict[str, Any]) -> None:
    put = described["paths"][PATH]["put"]
    assert set(put["requestBody"]["content"]) == {"application/octet-stream"}
    assert set(put["responses"]["200"]["content"]) == {"application/json", "application/msgpack"}
    assert "ETag" in put["responses"]["200"]["headers"]
    assert {"If-Match", "If-None-Match"} <= set(names(put, "header"))


def test_a_download_gives_bytes_or_a_range_of_them(described: dict[str, Any]) -> None:
    get = described["paths"][PATH]["get"]
    assert {"200", "206", "304", "404", "412", "416"} <= set(get["responses"])
    assert set(get["responses"]["206"]["content"]) == {"application/octet-stream"}
    assert {"ETag", "Soundstage-Info"} <= set(get["responses"]["200"]["headers"])
    assert {"Range", "If-Range", "If-Match", "If-None-Match"} <= set(names(get, "header"))


def test_head_tells_of_the_whole_and_has_no_content(described: dict[str, Any]) -> None:
    head = described["paths"][PATH]["head"]
    assert "content" not in head["responses"]["200"]
    assert {"206", "416"} & set(head["responses"]) == set()
    assert head["operationId"] == "kv_get_value_head"
