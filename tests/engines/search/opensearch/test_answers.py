"""What is taken for an answer of a cluster, and what is not."""

from __future__ import annotations

import pytest

from soundstage.core.errors import NotFound, Unavailable
from soundstage.engines.search.opensearch.answers import Answer, Cluster, Deleted, Done, Searched, read


def test_a_good_answer_is_read_as_far_as_it_is_looked_at() -> None:
    said = b'{"version": {"number": "2.19.1", "distribution": "opensearch", "lucene": "9"}, "tagline": "x"}'
    assert read(Answer(200, said), Cluster).version.number == "2.19.1"


def test_a_bad_answer_is_what_it_means() -> None:
    with pytest.raises(NotFound):
        read(Answer(404, b'{"error": {"type": "index_not_found_exception", "reason": "gone"}}'), Done)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"deleted": "many"}', b"{}", b"\xff"])
def test_what_no_cluster_says_is_no_answer(body: bytes) -> None:
    with pytest.raises(Unavailable, match="answers nothing that it would") as error:
        read(Answer(200, body), Deleted)
    assert (error.value.retryable, error.value.outcome) == (True, "unknown")


def test_a_search_without_word_of_its_shards_is_no_answer() -> None:
    with pytest.raises(Unavailable):
        read(Answer(200, b'{"hits": {"hits": []}}'), Searched)
