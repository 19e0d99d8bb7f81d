"""Kill a real server again and again, and check that it keeps its promises."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec

from soundstage.testing.crash.disk import lose_power, shim_variables
from soundstage.testing.crash.process import SOUNDSTAGE, StageProcess
from soundstage.testing.crash.traffic import Broken, Traffic
from soundstage.testing.crash.workload import Workload


class CrashReport(msgspec.Struct, kw_only=True):
    """What a run did; `in_doubt` calls met a kill, `bytes_lost` counts what power losses took, none of it promised."""

    rounds: int
    acknowledged: int
    in_doubt: int
    bytes_lost: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How to run. Each round kills the server after about `calls_per_round` calls, at a moment that `seed` draws.

    With `shim` (see `disk.build_shim`) each kill is a power loss too: every file is cut to what was flushed of it.
    `delay_ms` makes every flush of that disk take so long. `program` starts Soundstage; another one may start a
    build of it that is broken on purpose.
    """

    rounds: int = 5
    calls_per_round: int = 300
    writers: int = 8
    seed: int = 0
    shim: Path | None = None
    delay_ms: int = 0
    durability: str = "group"
    program: Sequence[str] = SOUNDSTAGE


def crash(folder: Path, plan: Plan, traffic: Traffic | None = None) -> CrashReport:
    """Start a server in `folder`, kill it amid concurrent clients, restart, verify; as often as planned.

    The clients are those of `traffic`; without it they use the key-value store, as `plan` says.
    Raises `Broken` when an acknowledged call is gone, a call is half there, or a reader was shown what is gone.
    """
    return asyncio.run(_crash(folder, plan, traffic or Workload(plan.writers, plan.seed)))


async def _crash(folder: Path, plan: Plan, workload: Traffic) -> CrashReport:
    data, journal, stage_file = folder / "data", folder / "journal", folder / "stage.toml"
    _write_stage_file(stage_file, plan.durability)
    variables = {} if plan.shim is None else shim_variables(plan.shim, journal, plan.delay_ms)
    random = Random(f"{plan.seed} kills")
    lost = in_doubt = 0

    def started() -> StageProcess:
        return _started(data, stage_file, variables, plan.program)

    for number in range(plan.rounds):
        with started() as server:
            if number == 0:
                await workload.prepare(server.url)
            await workload.verify(server.url)
            await workload.run(server.url, workload.acknowledged + random.randint(1, 2 * plan.calls_per_round))
            server.kill()
            await workload.settle()
        in_doubt += workload.in_doubt
        if plan.shim is not None:
            lost += lose_power(data, journal)
    with started() as server:
        await workload.verify(server.url)
        if server.terminate() != 0:
            raise Broken(f"the last server did not drain: {server.errors()}")
    return CrashReport(rounds=plan.rounds, acknowledged=workload.acknowledged, in_doubt=in_doubt, bytes_lost=lost)


def _started(data: Path, stage_file: Path, variables: dict[str, str], program: Sequence[str]) -> StageProcess:
    try:
        return StageProcess(data, stage_file=stage_file, variables=variables, program=program)
    except RuntimeError as error:
        raise Broken(str(error)) from error


def _write_stage_file(path: Path, durability: str) -> None:
    path.write_text(f'[engines.default]\nurl = "rocksdb:records"\ndurability = "{durability}"\n')
