"""What topics and groups are called in Kafka."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.errors import InvalidArgument
from soundstage.engines.log.kafka.names import (
    NAME_MAX_CHARS,
    group_here,
    group_in_kafka,
    topic_here,
    topic_in_kafka,
)
from soundstage.testing.records.examples import EXAMPLES

names = st.text("abZ09-_./", min_size=1, max_size=40)


@EXAMPLES
@given(names)
def test_a_name_comes_back_as_it_was(name: str) -> None:
    assert topic_here("main", topic_in_kafka("main", name)) == name


@EXAMPLES
@given(names, names)
def test_no_two_topics_have_names_that_kafka_takes_for_one(first: str, second: str) -> None:
    found = [topic_in_kafka("main", name).replace(".", "_") for name in (first, second)]
    assert (first == second) == (found[0] == found[1])


def test_a_usual_name_stays_readable() -> None:
    assert topic_in_kafka("main", "kv/ratings/out") == "main.kv.ratings.out"


def test_a_name_that_becomes_too_long_is_refused() -> None:
    assert len(topic_in_kafka("main", "a" * (NAME_MAX_CHARS - 5))) == NAME_MAX_CHARS
    with pytest.raises(InvalidArgument) as refused:
        topic_in_kafka("main", "a" * (NAME_MAX_CHARS - 4))
    assert refused.value.field == "name"


@pytest.mark.parametrize("foreign", ["other.a", "main", "main.", "main.a_b", "main.a-x", "__consumer_offsets"])
def test_topics_of_others_are_none_of_the_space(foreign: str) -> None:
    assert topic_here("main", foreign) is None


def test_groups_of_spaces_are_apart() -> None:
    assert group_here("main", group_in_kafka("main", "suite/readers")) == "suite/readers"
    assert group_here("main", group_in_kafka("mainly", "a")) is None
