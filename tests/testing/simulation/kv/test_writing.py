from __future__ import annotations

from typing import Any

import pytest
from tests.testing.simulation.kv.stand import Liar, at_scene, step
from tests.testing.simulation.theatre import noted

from soundstage.core.errors import DeadlineExceeded, PreconditionFailed, TokenDrift, TokenReused, Unavailable
from soundstage.core.message import IdempotencyToken
from soundstage.data.kv.api import Condition
from soundstage.data.kv.manifest import digest_of
from soundstage.testing.model import DELETE, PUT
from soundstage.testing.simulation.climate import Climate
from soundstage.testing.simulation.faults import FaultRates
from soundstage.testing.simulation.kv.reading import Reader
from soundstage.testing.simulation.kv.scene import CHUNK_THRESHOLD, Scene, Sent, time_of, token_at
from soundstage.testing.simulation.kv.steps import KEYS
from soundstage.testing.simulation.kv.writing import (
    Writer,
    delete_of,
    deletion,
    keys_predicate,
    put_of,
    range_of,
    value_of,
)
from soundstage.testing.simulation.network import NetworkRates
from soundstage.testing.simulation.scenario import Divergence

TOKEN = token_at(1_000_000, "token")
ABSENT = Condition(key=b"a", absent=True)


def put(scene: Scene, *, age_us: int = 0, conditional: bool = False, value: bytes = b"value") -> Sent:
    token = scene.token(step())
    sent = put_of("alpha", [b"a", b"b"], value, None, token_at(time_of(token) - age_us, token.token), conditional)
    if conditional:
        sent.request["condition"] = ABSENT
    return sent


def test_a_put_of_one_item_may_be_a_stream() -> None:
    sent = put_of("alpha", [b"a"], b"v", 1_000, TOKEN, conditional=False, streamed=True)
    assert (sent.source, sent.request["key"], sent.request["ttl"]) == (b"v", b"a", 1_000_000)
    assert put_of("alpha", [b"a", b"b"], b"v", None, TOKEN, conditional=False, streamed=True).source is None


def test_of_two_large_values_under_one_token_the_digest_tells_which_wins() -> None:
    def version(value: bytes) -> bytes:
        return put_of("alpha", [b"a"], value, None, TOKEN, conditional=False).write.sent[b"a"].metadata

    assert version(bytes(CHUNK_THRESHOLD)) == b""
    large, other = bytes(CHUNK_THRESHOLD + 1), bytes(CHUNK_THRESHOLD) + b"1"
    assert (version(large) < version(other)) is (digest_of(large) < digest_of(other))


def test_a_stream_is_acknowledged_and_repeated_as_any_put() -> None:
    async def body(scene: Scene) -> tuple[str, set[str]]:
        one = step()
        sent = put_of("alpha", [b"a"], bytes(40_000), None, scene.token(one), False, streamed=True)
        writer = Writer(scene)
        fate = await writer.send(one, sent)
        await writer.repeat(one, sent)
        await Reader(scene).read_all(one, "alpha")
        return fate, noted()

    fate, situations = at_scene(body)
    assert fate == "acknowledged"
    assert "streamed" in situations


def test_a_put_gives_each_key_its_version() -> None:
    sent = put_of("alpha", [b"a", b"b"], b"v", 500, TOKEN, conditional=False)
    assert {version.kind for version in sent.write.sent.values()} == {PUT}
    assert {version.expires_us for version in sent.write.sent.values()} == {1_000_500}
    assert [(item.key, item.value, item.ttl) for item in sent.request["items"]] == [
        (b"a", b"v", 500_000),
        (b"b", b"v", 500_000),
    ]


def test_a_put_without_a_ttl_never_expires() -> None:
    sent = put_of("alpha", [b"a"], b"v", None, TOKEN, conditional=False)
    assert sent.write.sent[b"a"].expires_us == 0
    assert sent.request["items"][0].ttl is None


def test_a_delete_covers_the_keys_that_its_predicate_matches() -> None:
    sent = delete_of("alpha", "marker", keys_predicate([b"a"]), [b"a"], TOKEN, False)
    assert {key: version.kind for key, version in sent.write.sent.items()} == {b"a": DELETE}


def test_the_delete_of_a_record_covers_every_key() -> None:
    assert set(deletion(step("delete", shape="record"), "alpha", TOKEN).write.sent) == set(KEYS)


@pytest.mark.parametrize(
    ("start", "start_inclusive", "end", "end_inclusive", "keys"),
    [
        (None, True, None, False, KEYS),
        (b"b", True, b"c", False, (b"b", b"bb")),
        (b"b", False, b"c", False, (b"bb",)),
        (b"b", True, b"c", True, (b"b", b"bb", b"c")),
        (b"b", False, b"c", True, (b"bb", b"c")),
        (b"b\0", True, b"bbb", True, (b"bb",)),
        (b"e", True, b"\xff\xff", False, ()),
    ],
)
def test_a_range_has_the_keys_between_its_bounds(
    start: bytes | None, start_inclusive: bool, end: bytes | None, end_inclusive: bool, keys: tuple[bytes, ...]
) -> None:
    ranged = step(start=start, start_inclusive=start_inclusive, end=end, end_inclusive=end_inclusive)
    predicate, found = range_of(ranged)
    assert tuple(found) == keys
    assert predicate.match_range is not None
    assert predicate.match_range.end_inclusive is end_inclusive


def test_values_of_different_steps_differ() -> None:
    values = {value_of(step(number=number, value_bytes=100)) for number in range(50)}
    assert len(values) == 50
    assert {len(value) for value in values} == {100}


def test_an_answered_write_is_acknowledged_and_remembered() -> None:
    async def body(scene: Scene) -> None:
        sent = put(scene)
        assert await Writer(scene).send(step(), sent) == "acknowledged"
        assert scene.certain("alpha").items[b"a"] == sent.write.sent[b"a"]
        assert scene.recall(step()) is sent

    at_scene(body)


def test_a_write_is_sent_until_its_fate_is_known() -> None:
    async def body(scene: Scene) -> tuple[str, int]:
        scene.site.host.set_rates(FaultRates(lost_before=0.3, lost_after=0.3, timed_out_before=0.2))
        sent = put(scene)
        fate = await Writer(scene).send(step(), sent)
        return fate, scene.site.network.passage(sent.write.token).under_way

    assert at_scene(body) == ("acknowledged", 0)


def test_a_write_that_is_given_up_stays_unknown() -> None:
    async def body(scene: Scene) -> tuple[str, int]:
        scene.site.host.set_rates(FaultRates(lost_after=1.0))
        fate = await Writer(scene).send(step(gives_up=True), put(scene))
        return fate, len(scene.history.record("alpha").recent)

    assert at_scene(body) == ("unknown", 1)


def test_a_write_that_was_given_up_and_had_no_effect_is_refused() -> None:
    async def body(scene: Scene) -> tuple[str, int]:
        scene.site.host.set_rates(FaultRates(lost_before=1.0))
        fate = await Writer(scene).send(step(gives_up=True), put(scene))
        return fate, len(scene.history.record("alpha").recent)

    assert at_scene(body) == ("refused", 0)


def test_few_writes_to_a_record_stay_unknown() -> None:
    async def body(scene: Scene) -> int:
        scene.site.host.set_rates(FaultRates(lost_after=0.7))
        for _ in range(12):
            await Writer(scene).send(step(gives_up=True), put(scene))
        return sum(write.over_at is not None for write in scene.history.record("alpha").recent)

    assert at_scene(body) <= 2


def test_a_late_request_decides_over_a_refusal_that_came_before_it() -> None:
    """A conditional write whose first request is under way while the second is refused is asked once more."""

    async def body(scene: Scene) -> set[str]:
        fates: set[str] = set()
        scene.site.network.rates = NetworkRates(held_up=0.6, twice=0.6, held_up_s=4.0)
        for number in range(20):
            record = f"record {number % 4}"
            sent = put_of(record, [b"a"], b"v", None, scene.token(step()), True)
            sent.request["condition"] = ABSENT
            fates.add(await Writer(scene).send(step(), sent))
            await Reader(scene).read_all(step(), record)
        return fates

    assert at_scene(body) == {"acknowledged", "refused"}


def test_a_condition_that_failed_leaves_nothing() -> None:
    async def body(scene: Scene) -> tuple[str, set[str]]:
        await Writer(scene).send(step(), put(scene))
        fate = await Writer(scene).send(step(), put(scene, conditional=True))
        assert scene.history.record("alpha").recent == []
        return fate, noted()

    assert at_scene(body) == ("refused", {"condition_failed"})


def test_a_conditional_write_is_stamped_after_what_was_there() -> None:
    async def body(scene: Scene) -> int:
        ahead = scene.token(step())
        await Writer(scene).send(
            step(), put_of("alpha", [b"c"], b"v", None, token_at(time_of(ahead) + 1_000_000, "ahead"), False)
        )
        sent = put(scene, conditional=True)
        sent = Sent(sent.write, {**sent.request})
        assert await Writer(scene).send(step(), sent) == "acknowledged"
        return (sent.write.time_us or 0) - time_of(ahead)

    assert at_scene(body) == 1_000_001


def test_another_payload_under_a_conditional_token_is_refused() -> None:
    async def body(scene: Scene) -> tuple[str, set[str]]:
        first = put(scene, conditional=True)
        await Writer(scene).send(step(), first)
        again = put_of("alpha", [b"a"], b"other", None, first.request["idempotency_token"], True)
        again.request["condition"] = ABSENT
        return await Writer(scene).send(step(), again), noted()

    fate, situations = at_scene(body)
    assert fate == "refused"
    assert "token_reused_refused" in situations


@pytest.mark.parametrize(("age_s", "fate"), [(599.0, "acknowledged"), (601.0, "refused"), (-1.9, "acknowledged")])
def test_tokens_are_taken_within_the_drift(age_s: float, fate: str) -> None:
    async def body(scene: Scene) -> str:
        return await Writer(scene).send(step(), put(scene, age_us=round(age_s * 1e6)))

    assert at_scene(body) == fate


@pytest.mark.parametrize(
    ("shape", "situation"),
    [("marker", "late_under_marker"), ("range", "late_under_range"), ("record", "late_under_record")],
)
def test_late_writes_are_noted_by_what_they_are_late_for(shape: str, situation: str) -> None:
    async def body(scene: Scene) -> set[str]:
        buried = deletion(step(shape=shape), "alpha", scene.token(step()))
        await Writer(scene).send(step(), buried)
        await Writer(scene).send(step(), put(scene, age_us=1_000))
        return noted()

    assert at_scene(body) == {situation}


def test_writes_of_one_microsecond_are_noted() -> None:
    async def body(scene: Scene) -> set[str]:
        sent = put(scene)
        await Writer(scene).send(step(), sent)
        other = put_of("alpha", [b"a"], b"v", None, token_at(sent.write.token_time_us, "other"), False)
        await Writer(scene).send(step(), other)
        return noted()

    assert at_scene(body) == {"equal_us"}


def test_a_repetition_is_answered_as_before() -> None:
    async def body(scene: Scene) -> None:
        sent = put(scene, conditional=True)
        await Writer(scene).send(step(), sent)
        await Writer(scene).send(step(), put(scene))
        await Writer(scene).repeat(step(), sent)
        await Reader(scene).read_all(step(), "alpha")

    at_scene(body)


def test_a_repetition_may_be_refused_for_its_age_alone() -> None:
    async def body(scene: Scene) -> set[str]:
        sent = put(scene)
        await Writer(scene).send(step(), sent)
        await scene.site.environment.sleep(700.0)
        await Writer(scene).repeat(step(), sent)
        return noted()

    assert "token_drift" in at_scene(body)


def test_batches_may_be_applied_in_part_where_the_climate_says_so() -> None:
    async def body(scene: Scene) -> list[dict[bytes, int] | None]:
        sent = [put(scene), put(scene, conditional=True)]
        for each in sent:
            await Writer(scene).send(step(), each)
        return [each.write.sure_keys for each in sent]

    assert at_scene(body, climate=Climate(port=FaultRates(partial=0.5))) == [{}, None]
    assert at_scene(body) == [None, None]


def other_token(reply: Any) -> Any:
    return type(reply)(idempotency_token=IdempotencyToken(reply.idempotency_token.generation_time, "other"))


def later(reply: Any) -> Any:
    token = reply.idempotency_token
    return type(reply)(idempotency_token=token_at(time_of(token) + 1, token.token))


def refusing(error: Exception) -> Any:
    def refuse(reply: Any) -> Any:
        raise error

    return refuse


@pytest.mark.parametrize(
    ("lie", "conditional", "said"),
    [
        (other_token, False, "answered with the token other"),
        (later, False, "was answered with"),
        (later, True, "was stamped"),
        (refusing(PreconditionFailed("no")), False, "has no condition"),
        (refusing(PreconditionFailed("no")), True, "hold in all of"),
        (refusing(TokenReused("no")), True, "named nothing else"),
        (refusing(TokenDrift("no")), False, "was refused"),
        (refusing(Unavailable("no", outcome="not_applied")), False, "its sender is told otherwise"),
        (refusing(DeadlineExceeded("no", outcome="not_applied", retryable=True)), True, "its sender is told otherwise"),
    ],
)
def test_a_store_that_lies_about_a_write_is_found_out(lie: Any, conditional: bool, said: str) -> None:
    async def body(scene: Scene) -> None:
        sent = put(scene, conditional=conditional)
        Liar(scene, lie)
        await Writer(scene).send(step(), sent)

    with pytest.raises(Divergence, match=said):
        at_scene(body)


def test_a_store_that_answers_a_repetition_differently_is_found_out() -> None:
    async def body(scene: Scene) -> None:
        sent = put(scene)
        await Writer(scene).send(step(), sent)
        Liar(scene, later)
        await Writer(scene).repeat(step(), sent)

    with pytest.raises(Divergence, match="before"):
        at_scene(body)


def test_a_write_that_may_have_been_applied_twice_is_known_to_nobody() -> None:
    async def body(scene: Scene) -> str:
        Liar(scene, refusing(Unavailable("no", outcome="not_applied")))
        return await Writer(scene).send(step(), put(scene), once=True)

    assert at_scene(body, climate=Climate(network=NetworkRates(twice=0.1))) == "unknown"
