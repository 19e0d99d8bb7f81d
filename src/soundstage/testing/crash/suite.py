"""Kill a real server again and again, and check that it keeps its promises."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from soundstage.testing.crash.disk import lose_power, shim_variables
from soundstage.testing.crash.process import StageProcess
from soundstage.testing.crash.workload import Workload


class CrashReport(msgspec.Struct, kw_only=True):
    """What a run did; `bytes_lost` counts what power losses took, none of it promised."""

    rounds: int
    acknowledged: int
    in_doubt: int
    bytes_lost: int


def crash(
    folder: Path,
    *,
    rounds: int = 5,
    calls_per_round: int = 300,
    writers: int = 8,
    shim: Path | None = None,
    durability: str = "group",
) -> CrashReport:
    """Start a server in `folder`, kill it amid `writers` concurrent clients, restart, verify; `rounds` times.

    With `shim` (see `disk.build_shim`) each kill is a power loss too: every file is cut to what was flushed.
    Raises `Broken` when an acknowledged call is gone, a call is half there, or a reader was shown what is gone.
    """
    return asyncio.run(_crash(folder, rounds, calls_per_round, writers, shim, durability))


async def _crash(
    folder: Path, rounds: int, calls_per_round: int, writers: int, shim: Path | None, durability: str
) -> CrashReport:
    data, journal, stage_file = folder / "data", folder / "journal", folder / "stage.toml"
    stage_file.write_text(f'[engines.default]\nurl = "rocksdb:records"\ndurability = "{durability}"\n')
    variables = {} if shim is None else shim_variables(shim, journal)
    workload = Workload(writers)
    lost = 0
    for number in range(rounds):
        with StageProcess(data, stage_file=stage_file, variables=variables) as server:
            if number == 0:
                await workload.prepare(server.url)
            await workload.verify(server.url)
            await workload.run(server.url, workload.acknowledged + calls_per_round)
            server.kill()
            await workload.settle()
        if shim is not None:
            lost += lose_power(data, journal)
    with StageProcess(data, stage_file=stage_file, variables=variables) as server:
        await workload.verify(server.url)
        if server.terminate() != 0:
            raise AssertionError(f"the last server did not drain: {server.errors()}")
    return CrashReport(
        rounds=rounds,
        acknowledged=workload.acknowledged,
        in_doubt=sum(len(writer.in_doubt) for writer in workload.writers),
        bytes_lost=lost,
    )
