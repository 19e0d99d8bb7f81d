"""Topics are made, changed where they may be, listed and dropped."""

from __future__ import annotations

import pytest

from soundstage.core.errors import AlreadyExists, InvalidArgument, NotFound
from soundstage.engines.log.port import NAME_MAX_CHARS, PARTITIONS_MAX, TopicSpec
from soundstage.testing.log.bench import TOPIC, LogBench, at, entry

WRONG_NAMES = ("", "/a", "a/", "a//b", ".", "a/../b", "a b", "ä", "a\0", "a" * (NAME_MAX_CHARS + 1))


class Topics:
    async def test_a_topic_is_empty_at_first(self, bench: LogBench) -> None:
        assert await bench.log.bounds(TOPIC) == [(0, 0)] * 3
        assert (await bench.page()).entries == []

    async def test_making_a_topic_again_changes_nothing(self, bench: LogBench) -> None:
        await bench.append(b"a")
        await bench.log.create_topic(bench.spec)
        assert await bench.values() == [b"a"]

    @pytest.mark.parametrize("settings", [{"partitions": 4}, {"compact": True}])
    async def test_what_is_fixed_at_creation_cannot_be_changed(self, bench: LogBench, settings: dict[str, int]) -> None:
        with pytest.raises(AlreadyExists):
            await bench.log.create_topic(TopicSpec(name=TOPIC, **{"partitions": 3, **settings}))  # pyright: ignore[reportArgumentType]
        assert await bench.log.topics() == [bench.spec]

    async def test_other_settings_can_be_changed(self, bench: LogBench) -> None:
        await bench.alter(retention_us=5_000, retention_bytes=6, compact_lag_us=7_000, delete_retention_us=8_000)
        assert await bench.log.topics() == [bench.spec]

    async def test_topics_are_listed_by_name(self, bench: LogBench) -> None:
        for name in ("z", "a/b", "a-b", "a"):
            await bench.another(name)
        names = [spec.name for spec in await bench.log.topics()]
        assert names == sorted(["z", "a/b", "a-b", "a", TOPIC])

    @pytest.mark.parametrize("name", WRONG_NAMES)
    async def test_what_is_no_name_is_refused(self, bench: LogBench, name: str) -> None:
        with pytest.raises(InvalidArgument):
            await bench.another(name)

    @pytest.mark.parametrize("partitions", [0, -1, PARTITIONS_MAX + 1])
    async def test_partitions_have_bounds(self, bench: LogBench, partitions: int) -> None:
        with pytest.raises(InvalidArgument):
            await bench.another("other", partitions=partitions)

    async def test_a_topic_may_have_the_most_partitions(self, bench: LogBench) -> None:
        await bench.another("other", partitions=PARTITIONS_MAX)
        await bench.append(b"a", partition=PARTITIONS_MAX - 1, topic="other")
        assert await bench.values(PARTITIONS_MAX - 1, "other") == [b"a"]

    @pytest.mark.parametrize(
        "field", ["retention_us", "retention_bytes", "compact_lag_us", "delete_retention_us", "token_us"]
    )
    async def test_settings_below_zero_are_refused(self, bench: LogBench, field: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await bench.another("other", **{field: -1})
        assert caught.value.field == field

    async def test_a_compacted_topic_has_no_limit_of_bytes(self, bench: LogBench) -> None:
        with pytest.raises(InvalidArgument):
            await bench.another("other", compact=True, retention_bytes=5)

    async def test_topics_are_apart(self, bench: LogBench) -> None:
        await bench.another("other", partitions=3)
        await bench.append(b"mine")
        await bench.append(b"other", topic="other")
        assert (await bench.values(), await bench.values(topic="other")) == ([b"mine"], [b"other"])

    async def test_a_dropped_topic_is_gone(self, bench: LogBench) -> None:
        await bench.append(b"a")
        await bench.log.drop_topic(TOPIC)
        assert await bench.log.topics() == []
        with pytest.raises(NotFound):
            await bench.page()

    async def test_dropping_what_is_not_there_is_no_error(self, bench: LogBench) -> None:
        await bench.log.drop_topic("nothing")

    async def test_a_topic_that_is_made_again_begins_anew(self, bench: LogBench) -> None:
        await bench.append(b"old", b"older")
        await bench.log.drop_topic(TOPIC)
        await bench.log.create_topic(bench.spec)
        assert await bench.append(b"new") == [0]
        assert await bench.values() == [b"new"]

    async def test_a_drop_leaves_other_topics_alone(self, bench: LogBench) -> None:
        for name in ("a", "b", "c"):
            await bench.another(name)
            await bench.append(name.encode(), topic=name)
        await bench.log.drop_topic("b")
        assert (await bench.values(topic="a"), await bench.values(topic="c")) == ([b"a"], [b"c"])

    async def test_every_call_knows_that_a_topic_is_not_there(self, bench: LogBench) -> None:
        log = bench.log
        for call in (
            log.append("nothing", [entry()]),
            log.read("nothing", 0, 0),
            log.bounds("nothing"),
            log.offset_at("nothing", 0, 0),
            log.wait([at(0, topic="nothing")]),
        ):
            with pytest.raises(NotFound):
                await call
