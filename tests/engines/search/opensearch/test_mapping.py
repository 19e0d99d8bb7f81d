"""How documents lie in OpenSearch."""

from __future__ import annotations

from typing import Any

import pytest

from soundstage.engines.search.opensearch.mapping import settings, spec_of
from soundstage.engines.search.opensearch.options import OpenSearchOptions
from soundstage.engines.search.port import Field, IndexSpec, Kind

TEXT, WORD = Field(kind=Kind.TEXT), Field(kind=Kind.KEYWORD)
PLAIN = IndexSpec(name="films", fields={"title": TEXT, "code": WORD})
DEEP = IndexSpec(
    name="films",
    fields={"title": TEXT, "cast": Field(kind=Kind.NESTED, fields={"role": TEXT, "actor": WORD})},
)


def test_the_fields_of_an_index_are_read_back() -> None:
    for spec in (PLAIN, DEEP):
        assert spec_of(settings(spec, OpenSearchOptions())["mappings"]) == spec


@pytest.mark.parametrize(
    "mappings", [{}, {"_meta": {}}, {"_meta": {"soundstage": "{"}}, {"_meta": {"soundstage": "{}"}}]
)
def test_an_index_of_others_is_none_of_ours(mappings: dict[str, Any]) -> None:
    assert spec_of(mappings) is None


def test_a_text_is_kept_and_its_words_are_searched() -> None:
    properties = settings(PLAIN, OpenSearchOptions())["mappings"]["properties"]
    assert properties["title"] == {"type": "object", "enabled": False}
    assert properties["WORDS"] == {"properties": {"title": {"type": "text", "analyzer": "whitespace"}}}


def test_vectors_turn_the_plugin_on() -> None:
    vector = Field(kind=Kind.VECTOR, dimensions=3, similarity="euclidean")
    made = settings(IndexSpec(name="films", fields={"mood": vector}), OpenSearchOptions(shards=2))
    assert (made["settings"]["index"]["knn"], made["settings"]["index"]["number_of_shards"]) == (True, 2)
    assert made["mappings"]["properties"]["mood"]["method"]["space_type"] == "l2"
    assert "knn" not in settings(PLAIN, OpenSearchOptions())["settings"]["index"]
