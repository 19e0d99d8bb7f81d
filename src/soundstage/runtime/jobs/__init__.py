"""Jobs: work that outlives the call that started it, kept until somebody has asked what came of it.

    job = await stage.client(Namespaces).export(name="profiles")
    async for info in job.watch():
        print(info.state, info.progress)
    exported = await job.result()

Any operation of the kind *job* starts one; this system lists them, waits for them and cancels them. What is
behind it is in `soundstage.runtime.work`: how jobs are kept, started and carried out.

A job is carried out by one process at a time. When that dies, another goes on with it as its operation
declares: from the last checkpoint, from the beginning, or not at all.
"""

from __future__ import annotations

from soundstage.runtime.jobs.api import (
    CancelJob,
    GetJob,
    JobEvent,
    JobOutcome,
    JobResult,
    Jobs,
    ListJobs,
    ListJobsReply,
    SyncJobs,
    WatchJob,
)

__all__ = [
    "CancelJob",
    "GetJob",
    "JobEvent",
    "JobOutcome",
    "JobResult",
    "Jobs",
    "ListJobs",
    "ListJobsReply",
    "SyncJobs",
    "WatchJob",
]
