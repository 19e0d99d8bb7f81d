from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.runtime.conftest import OpenStage, make, service_of
from tests.runtime.notes.api import Disturb, Notes, ReadNote, WriteNote, WriteNoteReply

from soundstage.core.call import LOCAL, Call, Principal
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    Internal,
    InvalidArgument,
    NotFound,
    TokenReused,
    Unavailable,
)
from soundstage.core.namespace import Quotas
from soundstage.runtime.dispatch import LOCAL_CALL
from soundstage.runtime.stage import Stage
from soundstage.runtime.statistics import CallStatistics

READER = Principal("reader", {"home": ("read",)})


def write() -> WriteNote:
    return WriteNote(namespace="home", name="milk", text="two")


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_surface_dispatches_by_name(stage: Stage) -> None:
    reply = await stage.dispatch("notes", "write", Call(), write())
    assert reply == WriteNoteReply(written=3)


async def test_the_handler_gets_the_call_as_it_came(stage: Stage) -> None:
    call = Call(request_id="r-1", trace="00-1-2-01", signals={"codec": "zstd"})
    await stage.dispatch("notes", "write", call, write())
    assert service_of(stage).calls == [call]


async def test_calls_in_process_share_one_call(stage: Stage, notes: Notes) -> None:
    await notes.write(name="milk", text="two")
    await notes.write(name="milk", text="three")
    assert all(call is LOCAL_CALL for call in service_of(stage).calls)


@pytest.mark.parametrize("principal", [LOCAL, READER])
async def test_a_missing_namespace_names_its_field(stage: Stage, principal: Principal) -> None:
    with pytest.raises(InvalidArgument if principal is LOCAL else Forbidden) as caught:
        await stage.dispatch("notes", "read", Call(principal=principal), ReadNote(name="milk"))
    if principal is LOCAL:
        assert caught.value.field == "namespace"


async def test_a_missing_namespace_in_process_names_its_field(stage: Stage) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await stage.client(Notes).read(name="milk")
    assert caught.value.field == "namespace"


async def test_a_message_that_is_none_is_no_defect(stage: Stage, notes: Notes) -> None:
    wrong: Any = ["milk"]
    with pytest.raises(InvalidArgument, match="name is list, not text"):
        await notes.read(name=wrong)
    with pytest.raises(InvalidArgument, match="name is list, not text"):
        await stage.dispatch("notes", "read", Call(), ReadNote(namespace="home", name=wrong))


async def test_an_unknown_namespace_names_the_nearest(stage: Stage) -> None:
    with pytest.raises(NotFound) as caught:
        await stage.client(Notes, "hmoe").read(name="milk")
    assert caught.value.hint == "did you mean 'home'?"


async def test_a_principal_without_the_role_is_forbidden_and_nothing_runs(stage: Stage) -> None:
    with pytest.raises(Forbidden, match="'reader' may not notes/write"):
        await stage.dispatch("notes", "write", Call(principal=READER), write())
    assert service_of(stage).calls == []


async def test_a_principal_with_the_role_is_let_in(stage: Stage, notes: Notes) -> None:
    await notes.write(name="milk", text="two")
    reply = await stage.dispatch("notes", "read", Call(principal=READER), ReadNote(namespace="home", name="milk"))
    assert reply.text == "two"


async def test_a_defect_becomes_internal_with_its_story_in_the_log(
    stage: Stage, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "soundstage"), pytest.raises(Internal) as caught:
        await notes.disturb(how="defect")
    record = caplog.records[-1]
    assert "secret detail" not in str(caught.value.problem())
    assert record.exc_info is not None
    assert record.__dict__["request_id"] == caught.value.request_id
    assert (record.__dict__["system"], record.__dict__["operation"]) == ("notes", "disturb")


async def test_a_defect_of_a_remote_call_keeps_its_request_id(stage: Stage) -> None:
    with pytest.raises(Internal) as caught:
        await stage.dispatch("notes", "disturb", Call(request_id="r-9"), Disturb(how="defect"))
    assert caught.value.request_id == "r-9"
    assert "r-9" in str(caught.value.hint)


async def test_a_cancellation_is_never_converted(stage: Stage, notes: Notes) -> None:
    call = asyncio.ensure_future(notes.disturb(how="wait"))
    await settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert stage.operation("notes", "disturb").stats.cancelled == 1


async def test_a_deadline_that_has_passed_lets_nothing_run(stage: Stage, environment: VirtualEnvironment) -> None:
    environment.advance(1)
    with pytest.raises(DeadlineExceeded) as caught:
        await stage.dispatch("notes", "write", Call(deadline_ns=10), write())
    assert caught.value.outcome == "not_applied"
    assert service_of(stage).calls == []


async def test_a_write_ended_by_its_deadline_has_an_unknown_outcome(stage: Stage, notes: Notes) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        await notes.with_options(deadline=0.25).disturb(how="wait")
    assert (caught.value.outcome, caught.value.retryable) == ("unknown", False)


async def test_a_write_ended_by_its_deadline_is_retryable_with_a_token(
    stage: Stage, environment: VirtualEnvironment
) -> None:
    service = service_of(stage)

    async def stuck(call: Call, request: WriteNote) -> WriteNoteReply:
        await service.gate.wait()
        return WriteNoteReply(written=0)

    stage.operation("notes", "write").handler = stuck
    notes = stage.client(Notes, "home").with_options(deadline=0.1)
    with pytest.raises(DeadlineExceeded) as without:
        await notes.write(name="a", text="")
    clock = service.context.clock
    with pytest.raises(DeadlineExceeded) as with_token:
        await notes.write(name="a", text="", idempotency_token=clock.token())
    assert (without.value.retryable, with_token.value.retryable) == (False, True)


async def test_a_read_ended_by_its_deadline_changed_nothing(stage: Stage) -> None:
    service = service_of(stage)

    async def stuck(call: Call, request: ReadNote) -> None:
        await service.gate.wait()

    stage.operation("notes", "read").handler = stuck
    with pytest.raises(DeadlineExceeded) as caught:
        await stage.client(Notes, "home").with_options(deadline=0.1).read(name="a")
    assert (caught.value.outcome, caught.value.retryable) == ("not_applied", True)


async def test_a_call_in_time_is_answered(stage: Stage, notes: Notes) -> None:
    assert (await notes.with_options(deadline=5).write(name="milk", text="two")).written == 3


async def test_calls_beyond_the_stages_bound_are_refused_and_let_in_again(open_stage: OpenStage) -> None:
    async with open_stage({"admission": {"in_flight": 2}}) as stage:
        notes = stage.client(Notes, "home")
        running = [asyncio.ensure_future(notes.disturb(how="wait")) for _ in range(2)]
        await settle()
        with pytest.raises(Exhausted, match="working on 2 calls"):
            await notes.disturb(how="")
        service_of(stage).gate.set()
        await asyncio.gather(*running)
        await notes.disturb(how="")


async def test_calls_beyond_the_namespaces_bound_are_refused_and_others_are_not(stage: Stage) -> None:
    await make(stage, "small", quotas=Quotas(in_flight=1))
    service = service_of(stage)

    async def held(call: Call, request: ReadNote) -> None:
        await service.gate.wait()

    stage.operation("notes", "read").handler = held
    first = asyncio.ensure_future(stage.client(Notes, "small").read(name="a"))
    await settle()
    with pytest.raises(Exhausted, match="'small' is working on 1 calls"):
        await stage.client(Notes, "small").read(name="a")
    service.gate.set()
    await stage.client(Notes, "home").read(name="a")
    await first
    await stage.client(Notes, "small").read(name="a")


async def test_rates_bound_reads_and_writes_apart(stage: Stage, environment: VirtualEnvironment) -> None:
    await make(stage, "slow", quotas=Quotas(writes_per_second=1))
    slow = stage.client(Notes, "slow")
    await slow.write(name="a", text="1")
    with pytest.raises(Exhausted) as caught:
        await slow.write(name="a", text="2")
    assert caught.value.retry_after_ms == 1_000
    assert (await slow.read(name="a")).text == "1"
    environment.advance(1)
    await slow.write(name="a", text="3")


async def test_failures_leave_nothing_counted_as_running(stage: Stage, notes: Notes) -> None:
    admission = stage.operation("notes", "read")._admission
    for call in (notes.read(name="none"), notes.disturb(how="defect"), stage.client(Notes, "none").read(name="x")):
        with pytest.raises((NotFound, Internal)):
            await call
    assert admission.in_flight == 0
    assert admission.gates["home"].in_flight == 0
    assert admission.unbounded.in_flight == 0


async def test_calls_failures_and_time_are_counted(stage: Stage, notes: Notes) -> None:
    bound = stage.operation("notes", "read")
    for _ in range(CallStatistics.SAMPLED):
        with pytest.raises(NotFound):
            await notes.read(name="none")
    assert bound.stats.calls == CallStatistics.SAMPLED
    assert bound.stats.failures == {"not_found": CallStatistics.SAMPLED}
    assert bound.stats.latency.count == CallStatistics.SAMPLED


async def test_every_call_of_a_surface_is_timed(stage: Stage) -> None:
    for _ in range(3):
        await stage.dispatch("notes", "write", Call(), write())
    assert stage.operation("notes", "write").stats.latency.count == 3


async def test_refusals_are_counted_as_failures(stage: Stage) -> None:
    with pytest.raises(InvalidArgument):
        await stage.client(Notes).read(name="x")
    assert stage.operation("notes", "read").stats.failures == {"invalid_argument": 1}


async def test_retries_repeat_with_one_token_until_it_works(stage: Stage, notes: Notes) -> None:
    service = service_of(stage)
    seen: list[Any] = []
    original = service.write

    async def flaky(call: Call, request: WriteNote) -> WriteNoteReply:
        seen.append(request.idempotency_token)
        if len(seen) < 3:
            raise Unavailable("down")
        return await original(call, request)

    stage.operation("notes", "write").handler = flaky
    assert (await notes.with_options(retries=3).write(name="milk", text="two")).written == 3
    assert len(seen) == 3
    assert len({token.token for token in seen}) == 1


async def test_what_is_not_repeatable_is_not_retried(stage: Stage, notes: Notes) -> None:
    with pytest.raises(Unavailable):
        await notes.with_options(retries=3).disturb(how="unavailable")
    assert service_of(stage).disturbed == 1


async def test_a_key_makes_any_call_repeatable(stage: Stage, notes: Notes) -> None:
    reply = await notes.with_options(retries=3, idempotency_key="k").disturb(how="unavailable")
    assert reply.count == 3


async def test_a_key_gives_the_first_reply_again(stage: Stage, notes: Notes) -> None:
    keyed = notes.with_options(idempotency_key="k-1")
    first = await keyed.disturb(how="a")
    assert await keyed.disturb(how="a") == first
    assert service_of(stage).disturbed == 1


async def test_a_key_with_another_request_is_refused(notes: Notes) -> None:
    keyed = notes.with_options(idempotency_key="k-1")
    await keyed.disturb(how="a")
    with pytest.raises(TokenReused):
        await keyed.disturb(how="b")


async def test_a_read_takes_no_notice_of_a_key(notes: Notes) -> None:
    await notes.write(name="a", text="1")
    keyed = notes.with_options(idempotency_key="k-1")
    await keyed.read(name="a")
    await notes.write(name="a", text="2")
    assert (await keyed.read(name="a")).text == "2"


async def test_calls_are_logged_where_asked_for(open_stage: OpenStage, caplog: pytest.LogCaptureFixture) -> None:
    request = ReadNote(namespace="home", name="none")
    async with open_stage({"telemetry": {"log_calls": True}}) as stage:
        await make(stage)
        with caplog.at_level(logging.INFO, "soundstage"), pytest.raises(NotFound):
            await stage.dispatch("notes", "read", Call(principal=READER, request_id="r-1"), request)
    facts = caplog.records[-1].__dict__
    assert (facts["principal"], facts["request_id"], facts["outcome"]) == ("reader", "r-1", "not_found")
