"""Wrong versions of the rule and of the engines, each of which a simulation must notice soon."""

from __future__ import annotations

from typing import NamedTuple


class Edit(NamedTuple):
    """In a module, one text in place of another that occurs once."""

    module: str
    right: str
    wrong: str


class Mutant(NamedTuple):
    """`steps` is how many a simulation may take to notice; `seed` the first that it tries, one that is known to."""

    engine: str
    edits: tuple[Edit, ...]
    steps: int = 6_000
    system: str = "kv"
    seed: int = 1


VERSION = "soundstage.core.version"
MEMORY = "soundstage.engines.records.memory"
AGENDA = "soundstage.engines.records.agenda"
TOMBSTONES = "soundstage.engines.records.tombstones"
ROCKS = "soundstage.engines.records.rocksdb"
COMMIT = "soundstage.engines.rocks.commit"
KV = "soundstage.data.kv"
CONTROL = "soundstage.runtime.control.changes"
REPETITION = "soundstage.runtime.repetition"
CREDENTIALS = "soundstage.runtime.credentials"
POLICY = "soundstage.core.policy"
LEASES = "soundstage.runtime.leases"
SCHEDULE = "soundstage.runtime.schedule"
WORK = "soundstage.runtime.work"
AHEAD = "soundstage.data.writeahead"
FILES = "soundstage.engines.blobs.file"
SERIES = "soundstage.data.timeseries"
HEADS = "soundstage.data.kv.closed_heads"
READS = "soundstage.data.kv.cached_reads"
ENTRIES = "soundstage.data.kv.cache_entries"
CACHED = "soundstage.data.kv.cached_records"
OWN = "soundstage.data.kv.own_writes"
WORDS = "soundstage.data.kv.dictionaries"


def of_caches(module: str, right: str, wrong: str, steps: int = 2_000, seed: int = 1) -> Mutant:
    """One thing wrong with the cache tier."""
    return Mutant("memory", (Edit(module, right, wrong),), steps, "caches", seed=seed)


def of_dictionaries(module: str, right: str, wrong: str, *others: Edit, steps: int = 2_000, seed: int = 2) -> Mutant:
    """One thing wrong with dictionaries, of one edit or several."""
    return Mutant("memory", (Edit(module, right, wrong), *others), steps, "dictionaries", seed=seed)


MUTANTS: dict[str, Mutant] = {
    "at_equal_times_puts_beat_deletes": Mutant(
        "memory", (Edit(VERSION, "PUT = 0\nDELETE = 1\n", "PUT = 1\nDELETE = 0\n"),)
    ),
    "at_equal_times_the_first_to_arrive_wins": Mutant(
        "memory", (Edit(MEMORY, "known >= cell", "known[:8] >= cell[:8]"),)
    ),
    "the_last_to_arrive_wins": Mutant("memory", (Edit(MEMORY, "known >= cell", "known == cell"),)),
    "items_live_through_their_expiry": Mutant("memory", (Edit(VERSION, "now_us < expires", "now_us <= expires"),)),
    "tombstones_are_purged_at_once": Mutant(
        "memory",
        (
            Edit(AGENDA, "spec.max_lag_us + IN_FLIGHT_MAX_US + 1", "1"),
            Edit(VERSION, "now_us - max_lag_us - in_flight_max_us", "now_us"),
        ),
    ),
    "purging_forgets_what_is_in_flight": Mutant(
        "memory",
        (
            Edit(AGENDA, "spec.max_lag_us + IN_FLIGHT_MAX_US + 1", "spec.max_lag_us + 1"),
            Edit(VERSION, "now_us - max_lag_us - in_flight_max_us", "now_us - max_lag_us"),
        ),
    ),
    "repeated_conditional_writes_are_applied_again": Mutant(
        "memory", (Edit(MEMORY, "recorded = found.ledger.get(asked.token.encode())", "recorded = None"),)
    ),
    "a_reused_conditional_token_is_taken_for_a_repetition": Mutant(
        "memory", (Edit(MEMORY, "recorded[1] != asked.digest", "recorded[1] is None"),)
    ),
    "the_ledger_is_forgotten_a_minute_early": Mutant(
        "memory",
        (
            Edit(
                MEMORY,
                "version.delete(entry.stamp_us, entry.token)",
                "version.delete(entry.stamp_us - 60_000_000, '')",
            ),
        ),
    ),
    "deletes_do_not_raise_the_header": Mutant(
        "memory",
        (
            Edit(
                MEMORY,
                "max(found.newest, *map(version.identity, versions(batch)))",
                "max(found.newest, *[version.identity(c) for _, c in batch.cells if not version.is_delete(c)], b'')",
            ),
        ),
    ),
    "range_deletes_reach_one_key_too_far": Mutant(
        "memory", (Edit(TOMBSTONES, "found.end is None or key < found.end", "found.end is None or key <= found.end"),)
    ),
    "inclusive_ends_are_taken_for_exclusive": Mutant(
        "memory", (Edit(f"{KV}.predicates", "end is not None and match.end_inclusive", "False"),)
    ),
    "a_page_resumes_one_item_too_far": Mutant(
        "memory",
        (
            Edit(
                MEMORY,
                'row[0] + b"\\0" if span.reverse else row[0], found',
                "row[0] if span.reverse else row[0], found",
            ),
        ),
    ),
    "a_scan_shows_a_record_from_its_start_again": Mutant(
        "memory", (Edit(MEMORY, 'start if partition == after else b""', 'b""'),)
    ),
    "half_of_a_batch_is_applied": Mutant(
        "memory",
        (
            Edit(
                MEMORY, "for key, cell in batch.cells:", "for key, cell in batch.cells[: (len(batch.cells) + 1) // 2]:"
            ),
        ),
    ),
    "a_batch_is_seen_half_done": Mutant(
        "memory",
        (
            Edit(
                MEMORY,
                "        into.accept(partition, batch)\n",
                "        import msgspec\n"
                "        half = len(batch.cells) // 2\n"
                "        if half:\n"
                "            into.accept(partition, msgspec.structs.replace(batch, cells=batch.cells[:half]))\n"
                "            await self._environment.sleep(0)\n"
                "        into.accept(partition, batch)\n",
            ),
        ),
    ),
    "a_record_delete_is_replaced_by_an_older_one": Mutant(
        "memory",
        (
            Edit(
                MEMORY,
                "tombstones.greatest(found.tombstone, batch.partition)",
                "(batch.partition or found.tombstone)",
            ),
        ),
    ),
    "expired_items_meet_conditions": Mutant(
        "memory",
        (
            Edit(
                MEMORY,
                "cell is None or not version.is_live(cell, now_us):\n            return None\n        return Stamp",
                "cell is None or version.is_delete(cell):\n            return None\n        return Stamp",
            ),
        ),
    ),
    "conditional_writes_keep_their_own_time": Mutant(
        "memory", (Edit(MEMORY, "stamp_us = max(stamp_us, version.time_us(found.newest) + 1)", "pass"),)
    ),
    "the_door_takes_tokens_of_any_age": Mutant(
        "memory", (Edit(f"{KV}.tokens", "time_us < now_us - self.past_us or time_us <= 0", "time_us <= 0"),)
    ),
    "clients_forget_what_they_have_read": Mutant(
        "memory", (Edit("soundstage.core.hlc", "self.last_us = max(self.last_us, time_us)", "pass"),)
    ),
    "the_log_is_never_flushed": Mutant("rocksdb", (Edit(COMMIT, "            self._flush()\n", "            pass\n"),)),
    "readers_do_not_wait_for_the_flush": Mutant(
        "rocksdb",
        (
            Edit(
                COMMIT,
                "        group = self._pending.get(key)\n        return None if group is None else self._waiter(group)",
                "        return None",
            ),
        ),
        steps=20_000,
        seed=5,
    ),
    "a_killed_process_takes_its_writes_along": Mutant(
        "rocksdb",
        (
            Edit(
                "soundstage.engines.rocks.disk",
                "self._unwaiting.no_slowdown = True",
                "self._unwaiting.no_slowdown = True\n        self._unwaiting.disable_wal = True",
            ),
        ),
    ),
    "a_purged_tombstone_leaves_what_it_hid": Mutant(
        "rocksdb",
        (
            Edit(
                f"{ROCKS}.sweep",
                "finished, removed = self._clear(table, row.prefix, header, low, high, due.entry)",
                "finished, removed = True, 0",
            ),
        ),
        seed=3,
    ),
    "a_range_delete_clears_newer_rows": Mutant(
        "rocksdb", (Edit(f"{ROCKS}.writing", "if deleted.cell > header.newest:", "if True:"),)
    ),
    "a_record_forgets_where_its_last_row_is": Mutant(
        "rocksdb", (Edit(f"{ROCKS}.writing", 'high = last + b"\\0"', "high = last"),)
    ),
    "a_record_forgets_where_the_item_just_put_is": Mutant(
        "rocksdb",
        (Edit(f"{ROCKS}.putting", 'key + b"\\0" if key >= high else high', "key if key >= high else high"),),
    ),
    "a_put_does_not_see_those_of_its_moment": Mutant(
        "rocksdb",
        (
            Edit(
                f"{ROCKS}.engine",
                "if known is None:\n            known = into.headers",
                "if True:\n            known = into.headers",
            ),
        ),
        seed=9,
    ),
    "a_namespace_is_forgotten_before_it_is_marked": Mutant(
        "memory",
        (
            Edit(
                CONTROL,
                "found = await self.mark(found, None if marked",
                "self.applied.forget(info.name)\n        found = await self.mark(found, None if marked",
            ),
        ),
        system="namespaces",
        seed=8,
    ),
    "a_deletion_that_goes_on_is_told_as_not_applied": Mutant(
        "memory", (Edit(CONTROL, 'error.outcome = "unknown"', 'error.outcome = "not_applied"'),), system="namespaces"
    ),
    "expected_versions_are_not_looked_at": Mutant(
        "memory",
        (
            Edit(
                CONTROL,
                "if expected_version not in (None, info.version):\n"
                "            raise refusals.other_version(info, expected_version)\n        check_kept",
                "if False:\n            raise refusals.other_version(info, expected_version)\n        check_kept",
            ),
        ),
        system="namespaces",
    ),
    "a_change_is_stored_and_not_applied": Mutant(
        "memory",
        (
            Edit(
                CONTROL,
                "self.applied.apply(await self.store.put(going, found.stamp, change))\n"
                "        tell(change)\n        return info",
                "await self.store.put(going, found.stamp, change)\n        return info",
            ),
        ),
        system="namespaces",
    ),
    "a_repeated_call_runs_again": Mutant(
        "memory",
        (
            Edit(
                REPETITION,
                "await self._keep(place, kept, claim.stamp)\n        except SoundstageError as error:",
                "await self._table.write(place, {_KEY: None}, {_KEY: claim.stamp})\n"
                "        except SoundstageError as error:",
            ),
        ),
        system="namespaces",
    ),
    "a_page_is_two_reads": Mutant(
        "memory",
        (
            Edit(
                f"{KV}.reads",
                "        filling.has_read(page.rows, page.unused)\n",
                "        if page.resume is not None and wanted.keys is None:\n"
                "            after = wanted.after(page.resume)\n"
                "            rest = await _read(served, partition, after, filling, filling.to_read, patience, now_us)\n"
                "            page = Page(page.rows + rest.rows, rest.resume, rest.stamp)\n"
                "        filling.has_read(page.rows, page.unused)\n",
            ),
        ),
    ),
    "a_scan_goes_on_behind_a_record_that_was_cut": Mutant(
        "memory", (Edit(f"{KV}.scans", "full = page.cut or ", "full = "),), steps=20_000
    ),
    "an_item_kept_from_an_earlier_read_is_shown_after_a_write": Mutant(
        "rocksdb",
        (
            Edit(
                f"{KV}.hot_items",
                "return known if known is not None and known.mark.current else None",
                "return known",
            ),
        ),
    ),
    "a_kept_item_outlives_its_expiry": Mutant(
        "rocksdb",
        (Edit(f"{KV}.service", "(not hot.expires_us or self._now_us() < hot.expires_us)", "True"),),
    ),
    "what_the_last_try_knew_is_told_of_all": Mutant(
        "memory", (Edit(POLICY, "            _set_outcome(error, unknown=unknown)\n", ""),), seed=2
    ),
    "a_name_may_have_two_tokens": Mutant(
        "memory",
        (
            Edit(CREDENTIALS, "self._changing = asyncio.Lock()", "self._changing = asyncio.Semaphore(9)"),
            Edit(CREDENTIALS, "{token: None, name: None}", "{token: None}"),
        ),
        system="tokens",
    ),
    "a_token_that_is_being_revoked_comes_back": Mutant(
        "memory",
        (Edit(CREDENTIALS, "self._changing = asyncio.Lock()", "self._changing = asyncio.Semaphore(9)"),),
        steps=10_000,
        system="tokens",
        seed=3,
    ),
    "a_revoked_token_stays_known": Mutant(
        "memory", (Edit(CREDENTIALS, "self._known.pop(id, None)", "pass"),), system="tokens"
    ),
    "a_lease_is_taken_before_its_time_is_over": Mutant(
        "memory",
        (Edit(LEASES, "since_ns >= row.ttl_us * 1_000", "since_ns >= row.ttl_us * 600"),),
        system="leases",
    ),
    "a_holder_trusts_its_lease_to_the_end": Mutant(
        "memory", (Edit(LEASES, "HELD_SHARE = 2 / 3", "HELD_SHARE = 1.1"),), system="leases", steps=10_000
    ),
    "a_holder_counts_from_when_it_was_answered": Mutant(
        "memory",
        (
            Edit(
                LEASES,
                "return Lease(self, name, row, stamp, asked_ns)",
                "return Lease(self, name, row, stamp, self.now_ns())",
            ),
            Edit(LEASES, "HELD_SHARE = 2 / 3", "HELD_SHARE = 0.9"),
        ),
        system="leases",
        steps=20_000,
        seed=2,
    ),
    "a_renewal_is_taken_for_the_lease_that_was_seen_before": Mutant(
        "memory", (Edit(LEASES, "if stamp != entry.stamp:", "if stamp is None:"),), system="leases"
    ),
    "a_lease_is_written_whatever_is_there": Mutant(
        "memory",
        (
            Edit(
                "soundstage.runtime.system_table",
                "conditions=[Condition(key.encode(), stamp) for key, stamp in conditions.items()],",
                "conditions=[],",
            ),
        ),
        system="leases",
    ),
    "a_fence_does_not_grow": Mutant(
        "memory",
        (Edit(LEASES, "1 if found is None else found.fence + 1", "1 if found is None else found.fence"),),
        system="leases",
    ),
    "a_lease_is_not_renewed_while_the_work_goes_on": Mutant(
        "memory",
        (Edit(LEASES, "await within(self._environment, lease.left_s, lease.renew())", "pass"),),
        system="leases",
    ),
    "a_name_that_was_released_is_waited_for": Mutant(
        "memory", (Edit(LEASES, "if row.released:\n            return True", "pass"),), system="leases"
    ),
    "a_lease_of_the_dead_stays_theirs": Mutant(
        "memory", (Edit(LEASES, "since_ns >= row.ttl_us * 1_000", "since_ns < 0"),), system="leases"
    ),
    "timed_work_is_done_by_everybody": Mutant(
        "memory",
        (
            Edit(
                SCHEDULE,
                'done = await self._leases.while_held(\n                f"schedule/{timed.name}"',
                'done = await self._leases.while_held(\n                f"schedule/{timed.name}/{self._leases.holder}"',
            ),
        ),
        system="schedule",
        steps=2_000,
    ),
    "timed_work_is_done_once_for_each_time_that_passed": Mutant(
        "memory",
        (
            Edit(
                SCHEDULE,
                "latest_us = _latest(timed.timetable, due_us, self._environment.now_us())",
                "latest_us = due_us",
            ),
        ),
        system="schedule",
        steps=4_000,
    ),
    "timed_work_counts_as_done_when_it_begins": Mutant(
        "memory",
        (
            Edit(
                SCHEDULE,
                "        await self._work(timed)\n        lease.check()\n",
                "        await self._table.write(timed.name, {_DONE: str(due_us).encode()}, {}, onward=True)\n"
                "        found = await self._table.get(timed.name, _DONE)\n"
                "        await self._work(timed)\n        lease.check()\n",
            ),
        ),
        system="schedule",
        steps=6_000,
    ),
    "timed_work_waits_for_a_time_that_a_fast_clock_wrote": Mutant(
        "memory",
        (Edit(SCHEDULE, "        if done_us <= timed.timetable.next_after(now_us):\n", "        if True:\n"),),
        system="schedule",
        steps=4_000,
    ),
    "a_job_that_is_begun_once_is_begun_again": Mutant(
        "memory",
        (
            Edit(
                f"{WORK}.runner", 'info.state == "running" and (restart == "fail" or ', 'info.state == "running" and ('
            ),
        ),
        system="jobs",
        steps=1_500,
    ),
    "a_job_goes_on_from_nothing": Mutant(
        "memory",
        (
            Edit(
                f"{WORK}.runner",
                'state = await self._store.state(job_id) if restart == "resume" else None',
                "state = None",
            ),
        ),
        system="jobs",
        steps=400,
        seed=5,
    ),
    "a_job_that_should_begin_anew_goes_on": Mutant(
        "memory",
        (
            Edit(
                f"{WORK}.runner",
                'state = await self._store.state(job_id) if restart == "resume" else None',
                "state = await self._store.state(job_id)",
            ),
        ),
        system="jobs",
        steps=1_500,
    ),
    "jobs_of_the_dead_are_nobody_s": Mutant(
        "memory",
        (
            Edit(
                f"{WORK}.runner",
                "        elif self._fits(job_id):\n            await self._take",
                "        elif self._fits(job_id) and info.state == 'queued':\n            await self._take",
            ),
        ),
        system="jobs",
        # It is seen at the end, when the jobs do not end, for which all of them are waited for.
        steps=60,
    ),
    "files_of_jobs_that_failed_are_told_of": Mutant(
        "memory",
        (Edit(f"{WORK}.runner", 'files = left.files if state == "succeeded" else []', "files = left.files"),),
        system="jobs",
        steps=2_000,
    ),
    "bounds_of_jobs_hold_for_each_process_alone": Mutant(
        "memory",
        (
            Edit(
                f"{WORK}.places",
                "            return True\n        if len(self._taken)",
                "            return True\n        return True\n        if len(self._taken)",
            ),
        ),
        system="jobs",
        steps=1_500,
    ),
    "jobs_that_have_ended_are_remembered_for_ever": Mutant(
        "memory",
        (Edit(f"{WORK}.store", "ttls = dict.fromkeys(changes, self._history_ttl_us) if ended else {}", "ttls = {}"),),
        system="jobs",
        steps=60,
    ),
    "jobs_that_have_not_ended_are_forgotten": Mutant(
        "memory",
        (
            Edit(
                f"{WORK}.store",
                "{_JOB: msgpack_encode(stored)}, {_JOB: None})",
                "{_JOB: msgpack_encode(stored)}, {_JOB: None}, ttls_us={_JOB: 2_000_000})",
            ),
        ),
        system="jobs",
        steps=200,
    ),
    "jobs_are_forgotten_too_soon": Mutant(
        "memory",
        (
            Edit(
                f"{WORK}.store",
                "ttls = dict.fromkeys(changes, self._history_ttl_us) if",
                "ttls = dict.fromkeys(changes, self._history_ttl_us // 100) if",
            ),
        ),
        system="jobs",
        steps=200,
    ),
    "files_of_jobs_never_expire": Mutant(
        "memory",
        (Edit(f"{WORK}.outputs", "ttl_us=self._ttl_us,", "ttl_us=100 * self._ttl_us,"),),
        system="jobs",
        steps=200,
    ),
    "a_blob_is_named_before_its_bytes_are_safe": Mutant(
        "memory",
        (Edit(f"{FILES}.staging", "        if durable:\n            self._disk.sync(self._descriptor)\n", ""),),
        system="files",
        steps=4_000,
        seed=2,
    ),
    "a_blob_is_told_of_before_its_name_is_safe": Mutant(
        "memory",
        (
            Edit(
                f"{FILES}.objects",
                "os.rename(staged, path)\n        if durable:\n            disk.sync_folder(path.parent)\n",
                "os.rename(staged, path)\n",
            ),
        ),
        system="files",
        steps=4_000,
        seed=2,
    ),
    "a_plain_blob_is_there_before_its_bytes_are_safe": Mutant(
        "memory",
        (
            Edit(
                f"{FILES}.plain",
                "            if self._durable:\n                self._disk.sync_folder(path.parent)\n",
                "",
            ),
        ),
        system="files",
        steps=4_000,
        seed=9,
    ),
    "half_an_upload_stays": Mutant(
        "memory",
        (Edit(f"{FILES}.staging", "            self.path.unlink(missing_ok=True)", "            pass"),),
        system="files",
        steps=2_000,
    ),
    "of_two_puts_the_older_is_found_at_start": Mutant(
        "memory",
        (Edit(f"{FILES}.objects", "known.sequence < found.sequence", "known.sequence > found.sequence"),),
        system="files",
        steps=4_000,
        seed=6,
    ),
    "a_deletion_is_told_of_before_it_is_safe": Mutant(
        "memory",
        (
            Edit(
                f"{FILES}.engine",
                "            await self._remove(key, self._sequences[key])\n",
                "            sequence = self._forget(key)\n            await self._remove(key, sequence)\n",
            ),
            Edit(f"{FILES}.engine", "        self._forget(key)\n        return known", "        return known"),
        ),
        system="files",
        steps=4_000,
    ),
    "what_is_being_put_counts_for_nothing": Mutant(
        "memory",
        (Edit(f"{FILES}.engine", "self._index.usage.bytes + self._staged_bytes,", "self._index.usage.bytes,"),),
        system="files",
        steps=4_000,
    ),
    "a_blob_lives_through_its_expiry": Mutant(
        "memory",
        (Edit("soundstage.engines.blobs.port", "now_us < self.expires_us", "now_us <= self.expires_us"),),
        system="files",
        steps=2_000,
    ),
    "what_is_not_as_announced_is_kept": Mutant(
        "memory",
        (Edit(f"{FILES}.engine", "            refusals.check_whole(staged.size, staged.sha256, expect)\n", ""),),
        system="files",
        steps=2_000,
    ),
    "a_feed_leaves_out_a_change": Mutant(
        "memory",
        (
            Edit(
                "soundstage.runtime.namespaces.service",
                "if _wanted(request, change) and allows(",
                "if at % 50 and _wanted(request, change) and allows(",
            ),
        ),
        system="namespaces",
    ),
    "a_mutation_that_failed_is_passed_over": Mutant(
        "memory",
        (
            Edit(
                f"{AHEAD}.applying",
                "                return Outcome(index, error, place)\n            except Exc",
                "                continue\n            except Exc",
            ),
        ),
        system="writeahead",
        steps=1_000,
        seed=7,
    ),
    "a_set_counts_as_accepted_before_it_is_in_the_log": Mutant(
        "memory",
        (Edit(f"{AHEAD}.journal", 'state="accepting",', 'state="accepted",'),),
        system="writeahead",
        steps=600,
        seed=8,
    ),
    "all_mutations_of_a_set_have_one_time": Mutant(
        "memory",
        (Edit(f"{AHEAD}.applying", "status.time_us + index, token", "status.time_us, token"),),
        system="writeahead",
        steps=100,
    ),
    "a_set_that_waits_is_in_no_list": Mutant(
        "memory",
        (
            Edit(
                f"{AHEAD}.ledger",
                "        known = await self.write(mutation_id, status, before)\n"
                "        await self.enlist(name, listed, place=status.place)\n",
                "        known = await self.write(mutation_id, status, before)\n"
                "        await self.strike(name, listed)\n",
            ),
        ),
        system="writeahead",
        steps=300,
    ),
    "what_failed_goes_on_one_mutation_too_late": Mutant(
        "memory",
        (Edit(f"{AHEAD}.shelf", "applied=outcome.applied, tries", "applied=outcome.applied + 1, tries"),),
        system="writeahead",
        steps=1_000,
    ),
    "closed_slices_are_read": Mutant(
        "memory",
        (Edit(f"{SERIES}.slices", "closes_at(found, INT64_MAX) > now_ns and not", "closes_at(found, 0) >= 0 and not"),),
        system="timeseries",
        steps=2_000,
    ),
    "slices_are_dropped_by_knobs_of_before": Mutant(
        "memory",
        (
            Edit(
                f"{SERIES}.namespace",
                "self.lifetime: Lifetime = Lifetime(accept_limit_ns(config), kept(config))",
                "self.lifetime: Lifetime = before.lifetime if before else Lifetime(accept_limit_ns(config), "
                "kept(config))",
            ),
        ),
        system="timeseries",
        steps=2_000,
    ),
    "events_are_written_to_slices_that_are_being_dropped": Mutant(
        "memory",
        (
            Edit(
                f"{SERIES}.catalogue",
                "tuple(each for each in slices if not each.dropping),\n            tuple(",
                "tuple(slices),\n            tuple(",
            ),
        ),
        system="timeseries",
        steps=1_000,
        seed=40,
    ),
    "a_repetition_that_is_late_is_refused": Mutant(
        "memory",
        (Edit(f"{SERIES}.repeated", "there >= wanted[key]", "there > wanted[key]"),),
        system="timeseries",
        steps=1_000,
    ),
    "a_page_goes_on_behind_one_event_too_many": Mutant(
        "memory",
        (
            Edit(
                f"{SERIES}.reads",
                "                    more = False\n                    break\n",
                "                    looked, more = prefix, False\n                    break\n",
            ),
        ),
        system="timeseries",
        steps=4_000,
    ),
    "a_feed_is_read_on_before_its_documents_are_put": Mutant(
        "memory",
        (
            Edit(
                f"{SERIES}.index.indexer",
                "            await self._tell(work, page)\n",
                "            await self._following.commit(work.opened, work.feed.topic, page.next)\n"
                "            await self._tell(work, page)\n",
            ),
        ),
        system="timeseries",
        steps=3_000,
        seed=20,
    ),
    "what_a_store_did_not_take_is_not_put_back": Mutant(
        "memory",
        (
            Edit(
                f"{SERIES}.draining",
                "            if _passes(error):\n                buffer.put_back(batch)\n",
                "            if _passes(error):\n",
            ),
        ),
        system="timeseries",
        steps=2_000,
        seed=3,
    ),
    "one_bad_event_does_not_keep_the_others_out": Mutant(
        "memory",
        (
            Edit(
                f"{SERIES}.writes",
                "    check_future(records, window)\n",
                "    if len(records) > 1:\n        await store(served, records[:1], None)\n"
                "    check_future(records, window)\n",
            ),
        ),
        system="timeseries",
        steps=2_000,
    ),
    "of_partitions_side_by_side_the_last_event_is_first": Mutant(
        "memory",
        (
            Edit(
                f"{SERIES}.partitions",
                "                elif first is None or prefix < least:",
                "                elif first is None or prefix > least:",
            ),
        ),
        system="timeseries",
        steps=2_000,
        seed=5,
    ),
    "a_slice_is_made_of_a_table_that_is_not_there": Mutant(
        "memory",
        (
            Edit(
                f"{SERIES}.catalogue",
                "            for each in unmade:\n                await self._records.create_table("
                "TableSpec(name=each.table, dedicated=each.dedicated))\n",
                "            for each in unmade[1:]:\n                await self._records.create_table("
                "TableSpec(name=each.table, dedicated=each.dedicated))\n",
            ),
        ),
        system="timeseries",
        steps=400,
    ),
    "dropped_slices_leave_their_tables": Mutant(
        "memory",
        (
            Edit(
                f"{SERIES}.catalogue",
                "await self._records.drop_table(table)\n        for run in",
                "pass\n        for run in",
            ),
            Edit(f"{SERIES}.catalogue", "if going or not self._swept:", "if not self._swept:"),
        ),
        system="timeseries",
        steps=400,
    ),
    "answers_count_under_any_head": of_caches(READS, "looked.answer.nonce == head.nonce", "True"),
    "an_opened_head_is_the_one_of_before": of_caches(
        HEADS, "opened(self._tier.nonce(), closing.id", 'opened((head or Head(b"")).nonce, closing.id', seed=13
    ),
    "a_head_that_could_not_be_opened_is_not_owed": of_caches(
        HEADS,
        "            self._ended(partition, closing)\n        self._owe(partition)",
        "            self._ended(partition, closing)",
    ),
    "nobody_remembers_what_is_owed": of_caches(
        HEADS, "return self._blind_until_us > 0 or partition in self._owed", "return False"
    ),
    "what_is_owed_is_asked_of_the_cache": of_caches(
        CACHED, "if self.heads.is_owed(partition) or now_us", "if now_us", steps=4_000
    ),
    "what_is_owed_voids_nothing": of_caches(
        HEADS, "nonce, now_us = self._tier.nonce(), self", 'nonce, now_us = (head or Head(b"")).nonce, self'
    ),
    "any_kept_answer_has_ones_own_write": of_caches(
        ENTRIES, "        if least is None:\n            return True", "        return True"
    ),
    "a_client_forgets_what_it_wrote": of_caches(
        OWN, "if found is not None and found.until_ns > self._environment.monotonic_ns():", "if False:"
    ),
    "a_head_is_never_opened": of_caches(
        ENTRIES,
        "others = [each for each in self.writers if each.id != writer and each.until_us > now_us]",
        "others = self.writers",
        seed=4,
    ),
    "what_expired_in_the_cache_is_shown": of_caches(
        ENTRIES, "[row for row in self.rows or () if version.is_live(row[1], now_us)]", "list(self.rows or ())"
    ),
    "what_has_a_condition_voids_nothing": of_caches(
        CACHED, "if table != self._table:", "if table != self._table or conditional:"
    ),
    "what_a_set_writes_voids_nothing": of_caches(
        f"{KV}.mutation_target", "await served.records.apply(", "await served.store.apply("
    ),
    "what_was_kept_before_a_truncation_is_found_after_it": of_caches(
        CACHED, "(view.created_at, view.generation, view.version)", "(view.created_at, view.generation, 0)"
    ),
    "a_cursor_leads_before_the_change_it_came_with": Mutant(
        "memory",
        (
            Edit(
                "soundstage.data.changes.following",
                "self._offsets[part] = entry.offset + 1",
                "self._offsets[part] = entry.offset",
            ),
        ),
        system="changes",
        steps=200,
    ),
    "a_page_counts_as_all_there_is": Mutant(
        "memory",
        (
            Edit(
                "soundstage.data.changes.following", "self._offsets[part] = page.next", "self._offsets[part] = page.end"
            ),
        ),
        system="changes",
        steps=1_500,
    ),
    "what_was_truncated_is_shown": Mutant(
        "memory",
        (Edit(f"{KV}.truncated", "if row[1] > self._eraser]", "if row]"),),
        system="changes",
        steps=300,
    ),
    "a_truncation_is_told_to_nobody": Mutant(
        "memory",
        (
            Edit(
                f"{KV}.service",
                "            await served.changes.tell_truncated(eraser(at), call.deadline_ns)\n",
                "            pass\n",
            ),
        ),
        system="changes",
        steps=200,
    ),
    "values_are_not_asked_which_dictionary_they_need": of_dictionaries(
        f"{WORDS}.dropping", "                    found.add(codec)\n", "                    pass\n"
    ),
    "only_the_first_values_are_asked": of_dictionaries(
        f"{WORDS}.dropping",
        "_PAGE = Budget(rows=2_000, bytes=1 << 20)",
        "_PAGE = Budget(rows=2, bytes=1 << 20)",
        Edit(f"{WORDS}.dropping", "while (not walked or position is not None) and", "while not walked and"),
    ),
    "what_was_read_of_dictionaries_counts_for_ever": of_dictionaries(
        f"{KV}.shelf",
        "return self._read_ns is not None and self._environment.monotonic_ns() - self._read_ns < within_ns",
        "return self._read_ns is not None",
    ),
    "a_dictionary_is_told_of_without_its_content": of_dictionaries(
        f"{WORDS}.serving", "{made.codec: made.content})", "{})"
    ),
    "a_dictionary_is_dropped_by_the_first_run_that_finds_no_value": of_dictionaries(
        f"{WORDS}.dropping",
        'elif entry.state == "retired":',
        "elif False:",
        Edit(f"{WORDS}.dropping", "        return SETTLED_US\n", "        return 0\n"),
        seed=6,
    ),
    "whatever_is_kept_is_taken_and_no_second_look_is_had": of_dictionaries(
        f"{WORDS}.dropping",
        "if codec in outcome.needed:",
        'if codec in outcome.needed and entry.state == "retired":',
        Edit(
            f"{KV}.shelf",
            'if entry.state == "active" or (entry.state == "retired" and now_us < entry.since_us + TAKEN_US)',
            "if entry",
        ),
    ),
    "an_import_leaves_its_dictionaries_behind": of_dictionaries(
        f"{KV}.parquet.importing",
        "        await adopt(self._serve(), self._environment, self._named)\n",
        "        pass\n",
    ),
    "a_large_value_does_not_say_what_it_needs": of_dictionaries(
        f"{WORDS}.dropping", "codec = codec_of(cell)", "codec = codec_of(cell) if len(cell) > 150 else None"
    ),
}
