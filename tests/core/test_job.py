"""Declared jobs, and the typed methods that both faces get from them."""

# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

import msgspec
import pytest

from soundstage.core.call import CallOptions
from soundstage.core.codec import decoder, json_encode
from soundstage.core.files import File
from soundstage.core.job import ENDED, JobInfo, JobOperation, Progress, job
from soundstage.core.message import Instant
from soundstage.core.operation import AsyncFace, Operation, SyncFace, operations_of


class Copy(msgspec.Struct, kw_only=True):
    namespace: str = ""
    source: str


class Copied(msgspec.Struct, kw_only=True):
    files: int


class ShelfCalls:
    system = "shelf"

    @job(Copy, access="write", restart="resume")
    def copy(self) -> Copied:
        """Everything is there twice."""


class Shelf(AsyncFace, ShelfCalls):
    pass


class SyncShelf(SyncFace, ShelfCalls):
    pass


class Starting:
    """An invoker that starts nothing, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    async def invoke(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        raise AssertionError

    def invoke_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        raise AssertionError

    def follow(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> AsyncGenerator[Any]:
        raise AssertionError

    def follow_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Generator[Any]:
        raise AssertionError

    async def start_job(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        return self.start_job_sync(operation, request, options)

    def start_job_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        self.asked.append((operation.path, request))
        return "the job"


@pytest.fixture
def starting() -> Starting:
    return Starting()


def test_a_declaration_is_a_job() -> None:
    copy = ShelfCalls.copy
    assert (copy.kind, copy.restart, copy.request, copy.reply) == ("job", "resume", Copy, Copied)
    assert isinstance(operations_of(ShelfCalls)["copy"], JobOperation)


async def test_calling_starts_it(starting: Starting) -> None:
    started: Any = await Shelf(starting, "mine").copy(source="a")
    assert started == "the job"
    assert starting.asked == [("/v1/shelf/copy", Copy(namespace="mine", source="a"))]


def test_so_does_calling_the_synchronous_face(starting: Starting) -> None:
    started: Any = SyncShelf(starting).copy(source="a", namespace="other")
    assert started == "the job"
    assert starting.asked == [("/v1/shelf/copy", Copy(namespace="other", source="a"))]


def test_a_job_travels_with_what_is_known_of_it() -> None:
    info = JobInfo(
        job_id="j",
        system="shelf",
        operation="copy",
        state="running",
        created_at=Instant(1_700_000_000_000_000_000),
        progress=Progress(done=3, total=5, unit="files", note="copying"),
        files=[File(blob="b", size=5)],
    )
    assert decoder(JobInfo, "application/json").decode(json_encode(info)) == info


def test_three_states_are_the_end() -> None:
    assert {"succeeded", "failed", "cancelled"} == ENDED
