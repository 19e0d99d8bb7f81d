"""What the example writes is worth compressing, and small enough to be written without asking first."""

from __future__ import annotations

import json

from examples.sessions.sessions import watched

from soundstage.core.compression import compress
from soundstage.data.kv.attunement import URGENT_BYTES


def test_a_document_is_json_of_its_member() -> None:
    assert json.loads(watched("ada"))["member_id"] == "ada"


def test_it_comes_to_less_than_a_third() -> None:
    assert len(compress("zstd", watched("ada"))) < len(watched("ada")) / 3


def test_it_is_written_without_a_question_first() -> None:
    assert len(watched("ada")) < URGENT_BYTES
