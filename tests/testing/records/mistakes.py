"""The mistakes that an engine of the records port could make, as changes of the source of ours.

`RULE` and `CONDITIONAL` are of the rule of versions and of conditional writes, `PURGE` of what is forgotten, `PORT` of
everything else, all made in the memory engine; `ROCKS` are of the embedded one.
"""

from __future__ import annotations

from tests.testing.records.mutants import MEMORY, RECORDS, ROCKSDB, VERSION, Change, Mutant

AGENDA = f"{RECORDS}.agenda"
BATCHES = f"{RECORDS}.batches"
METERING = f"{RECORDS}.metering"
SEGMENTS = f"{RECORDS}.segments"
TOMBSTONES = f"{RECORDS}.tombstones"

RARE = {
    "ranges have no limit",
    "touching ranges of one delete stay apart",
    "tokens are kept for ever",
    "every table takes conditions",
}
"""Mistakes that no history of one small record can show."""

OFFER = "(known is not None and known >= cell)"
"""Where the memory engine decides whether what arrives is superseded."""

RULE = (
    Mutant("ties are broken by time only", "versions", [Change(MEMORY, OFFER, "(known and known[:8] >= cell[:8])")]),
    Mutant(
        "at one time the last arrival wins", "versions", [Change(MEMORY, OFFER, "(known and known[:8] > cell[:8])")]
    ),
    Mutant("the last arrival wins", "versions", [Change(MEMORY, OFFER, "False")]),
    Mutant(
        "payloads are not compared",
        "versions",
        [Change(MEMORY, OFFER, "(known and version.identity(known) >= version.identity(cell))")],
    ),
    Mutant(
        "kinds are not compared",
        "versions",
        [Change(MEMORY, OFFER, "(known and known[:8] + known[9:] >= cell[:8] + cell[9:])")],
    ),
    Mutant(
        "what is dead hides nothing",
        "expiry",
        [Change(MEMORY, OFFER, f"({OFFER} and version.is_live(known, self._environment.now_us()))")],
    ),
    Mutant(
        "a tombstone loses ties on arrival",
        "deletes",
        [Change(MEMORY, "(over is not None and over > cell)", "(over is not None and over[:8] > cell[:8])")],
    ),
    Mutant(
        "a tombstone loses ties with what is there",
        "deletes",
        [Change(MEMORY, "is not None and over > cell}", "is not None and over[:8] > cell[:8]}")],
    ),
    Mutant(
        "a tombstone hides what is newer and there",
        "deletes",
        [Change(MEMORY, "is not None and over > cell}", "is not None}")],
    ),
    Mutant(
        "a tombstone hides what is newer and arrives",
        "deletes",
        [Change(MEMORY, "(over is not None and over > cell)", "over is not None")],
    ),
    Mutant(
        "a tombstone hides nothing that arrives later",
        "deletes",
        [Change(MEMORY, "(over is not None and over > cell)", "False")],
    ),
    Mutant(
        "an older tombstone takes the place of a newer one",
        "deletes",
        [Change(TOMBSTONES, "other > one)", "other)")],
    ),
    Mutant("of two ranges the later counts", "deletes", [Change(TOMBSTONES, "max(cell, new.cell)", "new.cell")]),
    Mutant("a range holds its end", "deletes", [Change(TOMBSTONES, "key < found.end", "key <= found.end")]),
    Mutant(
        "a range does not hold its start",
        "deletes",
        [Change(TOMBSTONES, "bisect_right(fragments, key, key=_START)", "bisect_left(fragments, key, key=_START)")],
    ),
    Mutant(
        "a deleted record forgets newer ranges",
        "deletes",
        [Change(TOMBSTONES, "if fragment.cell > partition)", "if False)")],
    ),
    Mutant(
        "ranges have no limit",
        "deletes",
        [
            Change(
                MEMORY,
                "        tombstones.check_count(ranges, self.spec.max_lag_us, self._environment.now_us())\n",
                "",
            )
        ],
    ),
    Mutant(
        "touching ranges of one delete stay apart",
        "deletes",
        [Change(TOMBSTONES, "merged[-1].end == piece.start and", "False and")],
    ),
    Mutant("expiry is a microsecond late", "expiry", [Change(VERSION, "now_us < expires", "now_us <= expires")]),
    Mutant("expiry is a microsecond early", "expiry", [Change(VERSION, "now_us < expires", "now_us + 1 < expires")]),
    Mutant(
        "a record is at its newest put",
        "versions",
        [
            Change(
                MEMORY,
                "map(version.identity, versions(batch)))",
                "[version.identity(cell) for _, cell in batch.cells], b'')",
            )
        ],
    ),
    Mutant(
        "a record is at its latest write",
        "versions",
        [Change(MEMORY, "max(found.newest, *map", "max(b'', *map")],
    ),
)

PURGE = (
    Mutant(
        "the floor is ignored",
        "purging",
        [
            Change(
                VERSION, "return horizon if purge_floor_us is None else min(horizon, purge_floor_us)", "return horizon"
            )
        ],
    ),
    Mutant(
        "what is at the floor goes",
        "purging",
        [Change(VERSION, "unpack_from(cell)[0] >= horizon_us", "unpack_from(cell)[0] > horizon_us")],
    ),
    Mutant(
        "calls in flight are forgotten",
        "purging",
        [
            Change(VERSION, "now_us - max_lag_us - in_flight_max_us", "now_us - max_lag_us"),
            Change(AGENDA, "spec.max_lag_us + IN_FLIGHT_MAX_US + 1", "spec.max_lag_us + 1"),
        ],
    ),
    Mutant(
        "the lag is forgotten",
        "purging",
        [
            Change(VERSION, "now_us - max_lag_us - in_flight_max_us", "now_us - in_flight_max_us"),
            Change(AGENDA, "spec.max_lag_us + IN_FLIGHT_MAX_US + 1", "IN_FLIGHT_MAX_US + 1"),
        ],
    ),
    Mutant(
        "a delete goes a microsecond early",
        "purging",
        [
            Change(VERSION, "now_us - max_lag_us - in_flight_max_us", "now_us - max_lag_us - in_flight_max_us + 1"),
            Change(AGENDA, "IN_FLIGHT_MAX_US + 1", "IN_FLIGHT_MAX_US"),
        ],
    ),
    Mutant(
        "a greater lag is not obeyed",
        "purging",
        [Change(VERSION, "horizon = now_us - max_lag_us - in_flight_max_us", "horizon = now_us")],
    ),
    Mutant(
        "an expired put goes when it expires",
        "purging",
        [
            Change(VERSION, "horizon = now_us - max_lag_us - in_flight_max_us", "horizon = now_us"),
            Change(
                AGENDA,
                "IN_FLIGHT_MAX_US + 1, not_before_us)",
                "IN_FLIGHT_MAX_US + 1 if not not_before_us else 0, not_before_us)",
            ),
        ],
    ),
    Mutant(
        "markers go as early as tombstones",
        "purging",
        [Change(MEMORY, "self._environment.now_us() + jitter_us", "0")],
    ),
    Mutant(
        "markers go all at once",
        "purging",
        [
            Change(
                MEMORY,
                "randint(self.spec.delete_ttl_min_us, self.spec.delete_ttl_max_us)",
                "randint(self.spec.delete_ttl_max_us, self.spec.delete_ttl_max_us)",
            )
        ],
    ),
    Mutant(
        "what took the place of a marker goes with it",
        "purging",
        [
            Change(
                MEMORY,
                '        found.cells[key] = cell\n        self.agenda.cancel((name, "row", key))\n',
                "        found.cells[key] = cell\n",
            )
        ],
    ),
    Mutant(
        "a swept record forgets what it was at",
        "purging",
        [
            Change(
                MEMORY,
                "            found.tombstone = None\n",
                "            found.tombstone, found.newest = None, b''\n",
            )
        ],
    ),
    Mutant(
        "a swept tombstone gives its rows back",
        "purging",
        [
            Change(MEMORY, '            self._drop_hidden(name, found, b"", None)\n', ""),
            Change(MEMORY, "                self._drop_hidden(name, found, fragment.start, fragment.end)\n", ""),
            Change(
                MEMORY, "version.is_live(row[1], now_us)", "version.is_live(row[1], now_us, found.covering(row[0]))"
            ),
        ],
    ),
    Mutant("a sweep removes more than it may", "purging", [Change(MEMORY, "due[:budget_rows]:", "due:")]),
    Mutant("a backlog is not told", "purging", [Change(MEMORY, "left = due[budget_rows:]", "left = due[len(due) :]")]),
)

CONDITIONAL = (
    Mutant(
        "a token that was used is applied anew", "ledger", [Change(MEMORY, "if recorded is not None:", "if False:")]
    ),
    Mutant(
        "a token that was used may name a write without conditions",
        "ledger",
        [Change(MEMORY, "if recorded is not None and version", "if False and version")],
    ),
    Mutant(
        "a token that was used is refused at any time",
        "ledger",
        [Change(MEMORY, "if recorded is not None and version.time_us(greatest) <= recorded[0]:", "if recorded:")],
    ),
    Mutant("digests are not compared", "ledger", [Change(MEMORY, "recorded[1] != asked.digest", "False")]),
    Mutant(
        "conditions come before the ledger",
        "ledger",
        [Change(MEMORY, "if recorded is not None:", "if recorded is not None and not asked.conditions:")],
    ),
    Mutant(
        "a repetition is answered with its own time",
        "ledger",
        [Change(MEMORY, "return recorded[0]", "return max(map(version.time_us, versions(batch)))")],
    ),
    Mutant(
        "tokens are kept from the time they were sent with",
        "ledger",
        [
            Change(
                MEMORY,
                "version.delete(entry.stamp_us, entry.token)",
                "version.delete(entry.stamp_us - 501, entry.token)",
            )
        ],
    ),
    Mutant(
        "tokens are kept for ever",
        "ledger",
        [
            Change(
                MEMORY,
                '        self.agenda.plan((name, "ledger", token)',
                '        0 and self.agenda.plan((name, "ledger", token)',
            )
        ],
    ),
    Mutant(
        "a write is stamped as late as the newest",
        "conditions",
        [Change(MEMORY, "version.time_us(found.newest) + 1", "version.time_us(found.newest)")],
    ),
    Mutant(
        "a write keeps its own time",
        "conditions",
        [Change(MEMORY, "table.accept(name, restamped(batch, stamp_us))", "table.accept(name, batch)")],
    ),
    Mutant(
        "only puts are stamped anew",
        "conditions",
        [
            Change(
                BATCHES,
                "ranges=[each._replace(cell=version.restamp(each.cell, time_us)) for each in batch.ranges]",
                "ranges=batch.ranges",
            )
        ],
    ),
    Mutant("stamps have no limit", "conditions", [Change(MEMORY, "stamp_us > asked.limit_us", "False")]),
    Mutant(
        "the limit itself is refused",
        "conditions",
        [Change(MEMORY, "stamp_us > asked.limit_us", "stamp_us >= asked.limit_us")],
    ),
    Mutant(
        "conditions compare times only",
        "conditions",
        [
            Change(
                MEMORY,
                "if actual != condition.stamp:",
                "if (actual and actual[0]) != (condition.stamp and condition.stamp[0]):",
            )
        ],
    ),
    Mutant(
        "conditions compare tokens only",
        "conditions",
        [
            Change(
                MEMORY,
                "if actual != condition.stamp:",
                "if (actual and actual[1]) != (condition.stamp and condition.stamp[1]):",
            )
        ],
    ),
    Mutant(
        "an expired item counts as present",
        "conditions",
        [
            Change(
                MEMORY, "cell is None or not version.is_live(cell, now_us)", "cell is None or version.is_delete(cell)"
            )
        ],
    ),
    Mutant(
        "a record with dead items counts as present",
        "conditions",
        [Change(MEMORY, "any(version.is_live(cell, now_us) for cell in self.cells.values())", "bool(self.cells)")],
    ),
    Mutant(
        "only the first condition counts",
        "conditions",
        [Change(MEMORY, "for condition in asked.conditions:", "for condition in asked.conditions[:1]:")],
    ),
    Mutant(
        "the last condition counts",
        "conditions",
        [Change(MEMORY, "for condition in asked.conditions:", "for condition in asked.conditions[-1:]:")],
    ),
    Mutant(
        "every table takes conditions", "conditions", [Change(MEMORY, "if not table.spec.conditional:", "if False:")]
    ),
)

PORT = (
    Mutant(
        "a page read down skips a row",
        "ranges",
        [Change(MEMORY, 'row[0] + b"\\0" if span.reverse else row[0], found', "row[0], found")],
    ),
    Mutant(
        "a page read up skips a row",
        "ranges",
        [Change(MEMORY, 'row[0] + b"\\0" if span.reverse else row[0], found', 'row[0] + b"\\0", found')],
    ),
    Mutant("a page has a row more", "ranges", [Change(METERING, "self._rows <= 0", "self._rows < 0")]),
    Mutant("bytes are not counted", "ranges", [Change(METERING, "size > self._bytes", "False")]),
    Mutant("a first row must fit", "ranges", [Change(METERING, "self._returned and (", "(")]),
    Mutant("time does not end a read", "ranges", [Change(METERING, "self._is_late() or", "False or")]),
    Mutant(
        "a span holds its end",
        "ranges",
        [
            Change(MEMORY, "bisect_left(self.keys, span.end)", "bisect_right(self.keys, span.end)"),
            Change(
                MEMORY, "from bisect import bisect_left, insort", "from bisect import bisect_left, bisect_right, insort"
            ),
        ],
    ),
    Mutant(
        "dead rows fill a page",
        "ranges",
        [Change(MEMORY, "            if version.is_live(row[1], now_us):\n", "            if meter.takes(row):\n")],
    ),
    Mutant(
        "points come sorted", "points", [Change(MEMORY, "for key in keys if (cell", "for key in sorted(keys) if (cell")]
    ),
    Mutant("points have no budget", "points", [Change(MEMORY, "Meter(budget or _UNBOUNDED", "Meter(_UNBOUNDED")]),
    Mutant(
        "each record has a budget of its own",
        "many",
        [
            Change(
                MEMORY,
                "self._page(source, partition, span, meter, now_us))\n        return pages",
                "self._page(source, partition, span, Meter(budget, self._environment), now_us))\n        return pages",
            )
        ],
    ),
    Mutant(
        "records not reached have no rest",
        "many",
        [Change(MEMORY, "Page([], end if span.reverse else span.start, None)", "Page([], None, None)")],
    ),
    Mutant(
        "a walk begins its record again",
        "walks",
        [Change(MEMORY, 'Span(start if partition == after else b"")', 'Span(b"")')],
    ),
    Mutant(
        "a walk goes on in every record where it stopped in one",
        "walks",
        [Change(MEMORY, 'Span(start if partition == after else b"")', "Span(start)")],
    ),
    Mutant(
        "segments overlap",
        "walks",
        [Change(SEGMENTS, "(segment << 64) // segments, (", "(segment << 63) // segments, (")],
    ),
    Mutant(
        "a position of another segment is taken",
        "walks",
        [Change(SEGMENTS, "if not low <= xxh3_64_intdigest(partition) < high:", "if False:")],
    ),
    Mutant(
        "a walk says that it cut nothing where it passed dead rows",
        "walks",
        [
            Change(
                MEMORY,
                'WalkPage(partitions, encode_position(partition, b""), cut=False)',
                "WalkPage(partitions, encode_position(partition, page.resume), cut=False)",
            )
        ],
    ),
    Mutant(
        "empty records are walked", "walks", [Change(MEMORY, "            if page.rows:\n", "            if True:\n")]
    ),
    Mutant(
        "5,000 items are too many", "limits", [Change(BATCHES, "count > BATCH_MAX_ITEMS", "count >= BATCH_MAX_ITEMS")]
    ),
    Mutant(
        "ranges are not items",
        "limits",
        [Change(BATCHES, "len(batch.cells) + len(batch.ranges)", "len(batch.cells) + bool(batch.ranges)")],
    ),
    Mutant(
        "what cells add counts",
        "limits",
        [Change(BATCHES, " and size - sum(map(_overhead, cells)) > BATCH_MAX_BYTES", "")],
    ),
    Mutant("a key may come twice", "limits", [Change(BATCHES, "if len(set(keys)) < len(keys):", "if False:")]),
    Mutant("late writes are applied", "lifecycle", [Change(MEMORY, "deadline_ns is not None and", "False and")]),
    Mutant(
        "a stopped engine answers", "lifecycle", [Change(MEMORY, "        if not self._open:\n", "        if False:\n")]
    ),
    Mutant(
        "fixed settings change",
        "tables",
        [Change(MEMORY, "        refusals.check_fixed_settings(known.spec, spec)\n", "")],
    ),
    Mutant("a dropped table comes back", "tables", [Change(MEMORY, "self._all_tables().pop(name, None)", "None")]),
    Mutant(
        "a table made again is empty",
        "tables",
        [
            Change(
                MEMORY,
                "        known.spec = spec\n",
                "        known.spec = spec\n        known.partitions.clear()\n        known.places.clear()\n",
            )
        ],
    ),
)

WRITING = f"{ROCKSDB}.writing"
READING = f"{ROCKSDB}.reading"
SWEEP = f"{ROCKSDB}.sweep"

ROCKS = (
    Mutant("at one time the last arrival wins", "versions", [Change(WRITING, "known >= cell", "known[:8] > cell[:8]")]),
    Mutant(
        "what repeats the newest is not compared",
        "versions",
        [Change(WRITING, " and not survey.least.startswith(known.newest)", "")],
    ),
    Mutant(
        "what is as old as the newest is not compared",
        "versions",
        [Change(WRITING, "survey.least > known.newest and not", "survey.least[:8] >= known.newest[:8] and not")],
    ),
    Mutant(
        "a deleted record is cleared by arrival",
        "deletes",
        [Change(WRITING, "        if cell > header.newest:", "        if True:")],
    ),
    Mutant(
        "a deleted range is cleared by arrival",
        "deletes",
        [Change(WRITING, "        if deleted.cell > header.newest:", "        if True:")],
    ),
    Mutant(
        "ranges hide nothing that is there",
        "deletes",
        [
            Change(
                READING,
                "cell, now_us, header.covering(key) if covered else None\n",
                "cell, now_us\n",
            )
        ],
    ),
    Mutant(
        "a trimmed record begins too late",
        "durability",
        [
            Change(WRITING, "if first < low:", "if not first:"),
            Change(f"{ROCKSDB}.putting", "key if key < low else low", "low"),
        ],
    ),
    Mutant(
        "marks outlive writes that leave the header as it was",
        "marks",
        [Change(WRITING, "msgspec.structs.replace(header, mark=None) if header is known else header", "header")],
    ),
    Mutant("marks outlive writes", "marks", [Change(f"{ROCKSDB}.known", "old is not header", "False")]),
    Mutant(
        "ranges are not written down",
        "durability",
        [
            Change(
                WRITING,
                "            self.batch.put(row, headers.encode_range(deleted.end, deleted.cell), self.table.handle)\n",
                "",
            )
        ],
    ),
    Mutant("a floor is ignored", "purging", [Change(SWEEP, "IN_FLIGHT_MAX_US, floor_us)", "IN_FLIGHT_MAX_US, None)")]),
    Mutant("a swept tombstone gives its rows back", "purging", [Change(SWEEP, "over > rows.value()", "False")]),
    Mutant(
        "what took the place of a marker goes with it",
        "purging",
        [Change(SWEEP, " or not version.is_purgeable(cell, now_us, horizon_us)", "")],
    ),
    Mutant(
        "what expires is not foreseen",
        "purging",
        [Change(f"{ROCKSDB}.foresight", "elif expires_us := version.expires_us(cell):", "elif expires_us := 0:")],
    ),
    Mutant(
        "zeros in names are not escaped",
        "names",
        [Change(f"{ROCKSDB}.rowkeys", 'partition.replace(b"\\0", b"\\0\\xff") if', "partition if")],
    ),
    Mutant(
        "conditions do not see ranges",
        "conditions",
        [Change(f"{ROCKSDB}.conditions", "known.covering(condition.key)", "None")],
    ),
    Mutant(
        "conditions do not see what was written in the same moment",
        "conditions",
        [Change(f"{ROCKSDB}.engine", "(known is not None or not into.spec.conditional)", "not into.spec.conditional")],
        durability="group",
    ),
    Mutant(
        "tokens are not written down",
        "ledger",
        [
            Change(
                f"{ROCKSDB}.engine", "writing.enter_ledger(conditional.token, stamp_us, conditional.digest)", "pass"
            ),
            Change(
                f"{ROCKSDB}.engine",
                "enter_ledger(rows.rows, into, due, prefix, conditional.token, stamp_us, conditional.digest)",
                "pass",
            ),
        ],
    ),
    Mutant(
        "a token that was used may name a larger write without conditions",
        "ledger",
        [Change(f"{ROCKSDB}.engine", "check_unrecorded(into, prefix, known, survey)", "pass")],
    ),
    Mutant(
        "a token that was used may name a single write of the same moment",
        "ledger",
        [
            Change(
                f"{ROCKSDB}.putting",
                "newest[: TIME.size] <= known.newest[: TIME.size]",
                "newest <= known.newest",
            )
        ],
    ),
    Mutant(
        "a table that is being restored is swept",
        "checkpoints",
        [Change(f"{ROCKSDB}.tables", "0 if hidden else None", "None")],
    ),
    Mutant(
        "what was restored is never swept",
        "checkpoints",
        [Change(f"{ROCKSDB}.restoring", "if entry is not None:", "if False:")],
    ),
    Mutant(
        "a page read down skips a row",
        "ranges",
        [Change(READING, 'return key + b"\\0" if span.reverse', "return key if span.reverse")],
    ),
    Mutant(
        "a span of nothing becomes one of all",
        "many",
        [Change(READING, "KEY_CEILING if span.end is None else span.end", "span.end or KEY_CEILING")],
    ),
    Mutant(
        "a walk says that it cut nothing where it passed dead rows",
        "walks",
        [Change(f"{ROCKSDB}.walking", "goes_on = first if again else found.resume", "goes_on = found.resume")],
    ),
    Mutant(
        "of many batches only the first is written",
        "bulk",
        [Change(f"{ROCKSDB}.engine", "for partition, batch in batches:", "for partition, batch in batches[:1]:")],
    ),
    Mutant(
        "many batches together may be of any size",
        "bulk",
        [Change(f"{ROCKSDB}.engine", "        check_batches(batches)\n", "")],
    ),
    Mutant("any bytes are a position", "walks", [Change(f"{ROCKSDB}.walking", "    if not fits:", "    if False:")]),
)
