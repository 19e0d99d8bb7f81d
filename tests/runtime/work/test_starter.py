"""On whose behalf jobs are carried out, and what becomes of those whose starter may do nothing any more."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.runtime.cluster import Cluster, counted, simulated
from tests.runtime.errands.api import Count

from soundstage.core.call import LOCAL, Call, Principal
from soundstage.core.errors import Forbidden, Unauthenticated
from soundstage.core.job import JobInfo
from soundstage.core.time import Duration, Instant
from soundstage.runtime.jobs import GetJob
from soundstage.runtime.stage import Stage
from soundstage.runtime.tokens import Tokens
from soundstage.runtime.work.starter import Starters
from soundstage.runtime.work.store import Stored

ADA = Principal("ada", {"films": ("write",)}, "id of ada")


async def nothing_new() -> None: ...


def stored(owner: str, namespace: str = "films", access: str = "write") -> Stored:
    info = JobInfo(job_id="j", system="s", operation="o", state="queued", created_at=Instant(0), namespaces=[namespace])
    return Stored(info=info, request=b"", access=access, restart="fail", owner=owner)


def test_a_job_has_the_grants_of_its_starter_and_no_others() -> None:
    starters = Starters({"id of ada": ADA}.get, nothing_new)
    assert starters.of(stored("id of ada")) is ADA


def test_the_owner_of_the_process_stays_the_owner() -> None:
    assert Starters({}.get, nothing_new).of(stored("local")) is LOCAL


def test_who_is_not_known_any_more_is_nobody() -> None:
    with pytest.raises(Unauthenticated, match="revoked"):
        Starters({"id of ada": ADA}.get, nothing_new).of(stored("id of eve"))


def test_who_came_without_a_token_keeps_the_grants_of_then() -> None:
    starters = Starters({"": ADA}.get, nothing_new)
    job = msgspec.structs.replace(stored(""), grants={"films": ("write",)})
    assert starters.of(job) == Principal("", {"films": ("write",)})
    with pytest.raises(Forbidden):
        starters.of(stored(""))


def test_grants_that_do_not_reach_so_far_are_refused() -> None:
    starters = Starters({"id of ada": ADA}.get, nothing_new)
    with pytest.raises(Forbidden):
        starters.of(stored("id of ada", namespace="shows"))
    with pytest.raises(Forbidden):
        starters.of(stored("id of ada", access="admin"))


async def started(stage: Stage, to: int, **options: Any) -> tuple[Principal, str]:
    """Who started a job with a token, and its id."""
    token = (await stage.client(Tokens).create(name="ada", grants={"*": ["write"]}, **options)).bearer
    principal = stage._parts.tokens.recognise(token)  # pyright: ignore[reportPrivateUsage]
    job = await stage.dispatch("errands", "resuming", Call(principal=principal), Count(to=to))
    return principal, job.job_id


async def seen(stage: Stage, job_id: str) -> JobInfo:
    return await stage.dispatch("jobs", "get", Call(), GetJob(job_id=job_id))


def test_the_code_of_a_job_is_given_no_more_than_its_starter_has() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            principal, job_id = await started(stage, 1)
            await asyncio.sleep(5)
            service: Any = stage.systems.service("errands")
            assert (service.calls[0].principal, (await seen(stage, job_id)).state) == (principal, "succeeded")
            assert principal.grants == {"*": ("write",)}

    simulated(main)


def test_a_token_that_another_process_has_just_made_is_known() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as front, cluster.process(poll_interval="10ms") as back:
            await asyncio.sleep(5.1)
            _, job_id = await started(front, 1)
            await asyncio.sleep(3)
            assert ((await seen(front, job_id)).state, len(counted(back))) == ("succeeded", 1)

    simulated(main)


def test_a_running_job_whose_token_is_revoked_fails_soon() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as one, cluster.process(running=0) as two:
            _, job_id = await started(one, 1_000)
            await asyncio.sleep(5)
            await two.client(Tokens).revoke(id="ada")
            await asyncio.sleep(4)
            info = await seen(two, job_id)
            assert (info.state, (info.error or {}).get("code")) == ("failed", "unauthenticated")
            assert len(counted(one)) < 10

    simulated(main)


def test_a_queued_job_whose_token_is_revoked_fails_without_having_begun() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process(running=0) as front:
            _, job_id = await started(front, 1)
            await front.client(Tokens).revoke(id="ada")
            async with cluster.process() as back:
                await asyncio.sleep(5)
                info = await seen(front, job_id)
                assert (info.state, counted(back)) == ("failed", [])

    simulated(main)


def test_a_token_that_has_expired_was_good_at_the_start() -> None:
    async def main(cluster: Cluster) -> None:
        async with cluster.process() as stage:
            _, job_id = await started(stage, 90, expires_in=Duration.parse("1m"))
            await asyncio.sleep(120)
            assert (await seen(stage, job_id)).state == "succeeded"

    simulated(main)
