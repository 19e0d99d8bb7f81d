"""Small files made one, snapshots forgotten, files that nothing needs removed. Blocking."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from soundstage.core.errors import Unavailable
from soundstage.core.portions import portions
from soundstage.engines.tables.iceberg.changes import Call, check_same, discard, head_of, replaced, written
from soundstage.engines.tables.iceberg.driver import expressions, io
from soundstage.engines.tables.iceberg.driver import table as driver_table
from soundstage.engines.tables.iceberg.failures import Check
from soundstage.engines.tables.iceberg.translation import branches_of, call_of, line
from soundstage.engines.tables.iceberg.work import Work
from soundstage.engines.tables.port import Snapshot

TOGETHER_MAX = 1_000
"""Files that become one."""

_SCHEME = "file://"


class Gathered(NamedTuple):
    """Small files of a branch as it is in `table`, and those with the same rows that nobody sees yet."""

    table: Any
    old: list[Any]
    new: list[Any]


def gathered(table: Any, call: Call, small_bytes: int, together_bytes: int, check: Check) -> Gathered:
    """The rows of small files of a partition are in one file as well; there may be no such files."""
    found = Gathered(table, [], [])
    head = head_of(table, call)
    if not head:
        return found
    reader = io.ArrowScan(table.metadata, table.io, table.metadata.schema(), expressions.AlwaysTrue())
    tasks = list(driver_table.DataScan(table_metadata=table.metadata, io=table.io, snapshot_id=head).plan_files())
    try:
        for group in _groups(tasks, small_bytes, together_bytes):
            check()
            found.new.extend(written(table, call, reader.to_table(group), check))
            found.old.extend(task.file for task in group)
    except BaseException:
        discard(table, found.new)
        raise
    return found


def compacted(table: Any, call: Call, files: Gathered, check: Work) -> Snapshot:
    """The branch has the new files in the place of the old. Raises `Overtaken` where it has not all of these."""
    check_same(table, call, files.table)
    head_of(table, call)
    return replaced(table, call, files.old, files.new, check)


def expired(table: Any, before_us: int, keep: int, check: Work) -> int:
    """Snapshots committed before are gone, but for the last of each branch and those with a tag. Raises `Overtaken`."""
    metadata = table.metadata
    kept = {ref.snapshot_id for ref in metadata.refs.values()}
    for head in branches_of(metadata).values():
        kept |= {snapshot.id for snapshot in islice(line(metadata, head), max(1, keep))}
    calls = {call_of(each) for each in metadata.snapshots if each.snapshot_id in kept}
    # A change is as old as the last of its snapshots, and goes with all of them.
    calls |= {call_of(each) for each in metadata.snapshots if each.timestamp_ms * 1_000 >= before_us}
    gone = [each for each in metadata.snapshots if call_of(each) not in calls]
    if not gone:
        return 0
    check.commits()
    table.maintenance.expire_snapshots().by_ids([each.snapshot_id for each in gone]).commit()
    return len({call_of(each) for each in gone})


def cleaned(table: Any, before_us: int, check: Check) -> int:
    """Files of the table that no snapshot of it needs, and that were written before, are gone; how many."""
    folder = folder_of(table.metadata)
    # What is there is looked at before what is needed: a file that is committed meanwhile is in the second alone.
    candidates = list(_written_before(folder, before_us))
    needed = _needed(table.refresh(), check)
    removed = 0
    for path in candidates:
        if path not in needed:
            check()
            Path(path).unlink(missing_ok=True)
            removed += 1
    return removed


def folder_of(metadata: Any) -> Path:
    """Where the table lies. Raises `Unavailable` for one that is not on this machine."""
    location: str = metadata.location
    if not location.startswith((_SCHEME, "/")):
        raise Unavailable(f"the table lies at {location}, not in a folder", outcome="not_applied", retryable=False)
    return Path(location.removeprefix(_SCHEME))


def _groups(tasks: Sequence[Any], small_bytes: int, together_bytes: int) -> Iterator[list[Any]]:
    """Small files of one partition, two or more at a time and no more than may be in memory together."""
    by_partition: dict[Any, list[Any]] = defaultdict(list)
    for task in tasks:
        if task.file.file_size_in_bytes < small_bytes:
            by_partition[task.file.spec_id, str(task.file.partition)].append(task)
    for found in by_partition.values():
        for group in portions(found, lambda task: task.file.file_size_in_bytes, together_bytes, TOGETHER_MAX):
            if len(group) > 1:
                yield group


def _needed(table: Any, check: Check) -> set[str]:
    """The paths of all files that the table's snapshots and its metadata name."""
    metadata = table.metadata
    found = {table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
    found |= {each.statistics_path for each in (*metadata.statistics, *metadata.partition_statistics)}
    manifests: dict[str, Any] = {}
    for snapshot in metadata.snapshots:
        check()
        found.add(snapshot.manifest_list)
        manifests |= {manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)}
    for path, manifest in manifests.items():
        check()
        found.add(path)
        found |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    return {os.path.realpath(str(each).removeprefix(_SCHEME)) for each in found}


def _written_before(folder: Path, before_us: int) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.realpath(os.path.join(place, name))
            try:
                if os.stat(path).st_mtime_ns < before_us * 1_000:
                    yield path
            except FileNotFoundError:
                continue
