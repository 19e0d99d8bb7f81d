"""The messages and operations of `jobs`, which every client knows: they are declared in `soundstage.core.jobs`."""

from __future__ import annotations

from soundstage.core.jobs import (
    CancelJob,
    GetJob,
    JobEvent,
    JobOutcome,
    JobResult,
    JobsCalls,
    ListJobs,
    ListJobsReply,
    WatchJob,
)
from soundstage.core.operation import AsyncFace, SyncFace

__all__ = [
    "CALLS",
    "CancelJob",
    "GetJob",
    "JobEvent",
    "JobOutcome",
    "JobResult",
    "Jobs",
    "JobsCalls",
    "ListJobs",
    "ListJobsReply",
    "SyncJobs",
    "WatchJob",
]


class Jobs(AsyncFace, JobsCalls):
    """Lists, watches and cancels jobs, asynchronous: `stage.client(Jobs)`."""


class SyncJobs(SyncFace, JobsCalls):
    """Lists, watches and cancels jobs, synchronous."""


CALLS = JobsCalls
