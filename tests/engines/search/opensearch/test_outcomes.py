"""What the answer to many actions says of each."""

from __future__ import annotations

import pytest

from soundstage.core.errors import Unavailable
from soundstage.engines.search.opensearch.answers import Answer, Bulk, read
from soundstage.engines.search.opensearch.outcomes import outcomes_of
from soundstage.engines.search.port import Outcome, Status


def said(*items: str) -> Bulk:
    return read(Answer(200, ('{"items":[' + ",".join(items) + "]}").encode()), Bulk)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ('{"index":{"status":201,"_seq_no":4,"_primary_term":2}}', Outcome(Status.APPLIED, "4.2")),
        ('{"index":{"status":200,"_seq_no":0,"_primary_term":1}}', Outcome(Status.APPLIED, "0.1")),
        ('{"create":{"status":201,"_seq_no":4,"_primary_term":2}}', Outcome(Status.APPLIED, "4.2")),
        ('{"create":{"status":409,"error":{"type":"x"}}}', Outcome(Status.CONFLICT)),
        ('{"delete":{"status":200,"result":"deleted","_seq_no":4,"_primary_term":2}}', Outcome(Status.APPLIED)),
        ('{"delete":{"status":404,"result":"not_found","_seq_no":4}}', Outcome(Status.MISSING)),
        ('{"index":{"status":429,"error":{"type":"x","reason":"full"}}}', Outcome(Status.REJECTED, reason="full")),
        ('{"index":{"status":500}}', Outcome(Status.REJECTED, reason="without a reason")),
    ],
)
def test_what_became_of_an_action_is_under_the_word_it_was_sent_with(item: str, expected: Outcome) -> None:
    assert outcomes_of(said(item), 1) == [expected]


@pytest.mark.parametrize("items", [[], ["{}"], ['{"update":{"status":200}}'], ['{"index":{"status":200}}'] * 2])
def test_what_is_not_of_the_actions_that_were_sent_is_no_answer(items: list[str]) -> None:
    with pytest.raises(Unavailable, match="answers nothing that it would"):
        outcomes_of(said(*items), 1)
