"""The mistakes that an engine of the log port could make, as changes of the source of ours."""

from __future__ import annotations

from tests.testing.records.mutants import Change, Mutant

LOG = "soundstage.engines.log"
MEMORY = f"{LOG}.memory"
ARRIVALS = f"{LOG}.arrivals"
WATCH = f"{LOG}.watch"
MEMBERSHIP = f"{LOG}.membership"
ROCKSDB = f"{LOG}.rocksdb"


def _memory(name: str, part: str, right: str, wrong: str) -> Mutant:
    return Mutant(name, part, [Change(MEMORY, right, wrong)])


def _arrivals(name: str, part: str, right: str, wrong: str) -> Mutant:
    return Mutant(name, part, [Change(ARRIVALS, right, wrong)])


MISTAKES = (
    _memory("times go back", "appends", "self.last_us = max(self.last_us, now_us", "self.last_us = max(0, now_us"),
    _memory(
        "a producer's time is ignored",
        "appends",
        "now_us if entry.time_us is None else entry.time_us",
        "now_us",
    ),
    _memory("headers are lost", "appends", "entry.value, entry.headers))", "entry.value))"),
    _memory("keyless entries never take turns", "appends", "(into.keyless + 1) %", "(into.keyless + 0) %"),
    _memory("deadlines are ignored", "appends", "self._environment.monotonic_ns() >= deadline_ns", "False"),
    _memory("half of a refused call is kept", "appends", "        check_entries(into.spec, entries, now_us)\n", ""),
    _memory("a page begins one late", "reads", "bisect_left(self.entries, offset, key=_OFFSET)", "offset + 1"),
    _memory("a page has one more", "reads", "len(taken) == limit_entries", "len(taken) > limit_entries"),
    _memory("a page has no limit of bytes", "reads", "size > limit_bytes)", "False)"),
    _memory("the first entry must fit", "reads", "if taken and (len(taken)", "if (len(taken)"),
    _memory(
        "a page skips one",
        "reads",
        "LogPage(taken, entry.offset, self",
        "LogPage(taken, entry.offset + 1, self",
    ),
    _memory("offsets after the end are taken", "reads", "if offset > source.end:", "if False:"),
    _memory(
        "a page tells no start", "retention", "LogPage(taken, self.end, self.start,", "LogPage(taken, self.end, 0,"
    ),
    _memory(
        "a time finds what follows it",
        "times",
        "bisect_left(self.entries, time_us, key=_TIME)",
        "bisect_left(self.entries, time_us + 1, key=_TIME)",
    ),
    _memory(
        "a time after all finds the start",
        "times",
        "else self.end\n\n    def retain",
        "else self.start\n\n    def retain",
    ),
    _memory(
        "what is as old as the retention goes",
        "retention",
        "now_us - spec.retention_us",
        "now_us - spec.retention_us + 1",
    ),
    _memory("what is too old stays", "retention", "if spec.retention_us is not None:", "if False:"),
    _memory("what is too much stays", "retention", "if spec.retention_bytes is not None:", "if False:"),
    _memory("too much goes by bytes", "retention", "if rest < spec.retention_bytes:", "if rest < 0:"),
    _memory(
        "one too few goes by bytes", "retention", "if rest < spec.retention_bytes:", "if rest <= spec.retention_bytes:"
    ),
    _memory(
        "an emptied partition begins anew",
        "retention",
        "        self.entries = entries\n",
        "        self.entries = entries\n        self.end = self.end if entries else 0\n",
    ),
    _memory("young entries are compacted", "compaction", "now_us - spec.compact_lag_us, key", "now_us + 1, key"),
    _memory(
        "entries are compacted a microsecond early",
        "compaction",
        "now_us - spec.compact_lag_us, key",
        "now_us - spec.compact_lag_us + 1, key",
    ),
    _memory(
        "the oldest of each key stays",
        "compaction",
        "newest = {entry.key: entry.offset for entry in old}",
        "newest = {entry.key: entry.offset for entry in reversed(old)}",
    ),
    _memory(
        "young entries drive out old ones",
        "compaction",
        "for entry in old}\n        forgotten",
        "for entry in self.entries}\n        forgotten",
    ),
    _memory("deletes go at once", "compaction", "entry.time_us >= forgotten_us)", "False)"),
    _memory("deletes stay for ever", "compaction", "entry.time_us >= forgotten_us)", "True)"),
    _memory(
        "a delete gives back what it deleted",
        "compaction",
        "if newest[entry.key] == entry.offset and (entry",
        "if (newest[entry.key] == entry.offset or entry.value is not None) and (entry",
    ),
    _memory("every topic is compacted", "compaction", "if topic.spec.compact else 0", "if True else 0"),
    _memory("a token appends again", "tokens", "        if before is not None:\n            return before\n", ""),
    _memory("a token is remembered for ever", "tokens", "or now_us >= before.time_us + self.spec.token_us:", ":"),
    _memory(
        "a token is forgotten a microsecond early",
        "tokens",
        "now_us >= before.time_us + self",
        "now_us + 1 >= before.time_us + self",
    ),
    _memory("a sweep forgets tokens early", "tokens", "if each.time_us > kept_us}", "if each.time_us > kept_us + 1}"),
    _memory(
        "what one of several refuses is passed over",
        "transactions",
        "            places = spread(topic.spec, each.entries, each.partition, topic.keyless)\n",
        "            places = ()\n",
    ),
    _memory(
        "one partition is appended to twice",
        "transactions",
        "                check_apart(taken, topic.spec.name, places)\n",
        "                _ = places\n",
    ),
    _memory(
        "positions are left behind",
        "transactions",
        "        self._check_deadline(deadline_ns)\n        for each in commits:\n            self._commit(each)\n",
        "        self._check_deadline(deadline_ns)\n",
    ),
    _memory(
        "positions in one are taken from anybody",
        "transactions",
        "        for each in commits:\n            self._check_commit(each)\n",
        "",
    ),
    _memory(
        "other entries are taken for a repetition",
        "tokens",
        "if before.digest != digest_of(entries, partition):",
        "if False:",
    ),
    _memory("fixed settings change", "topics", "            refusals.check_fixed_settings(known.spec, spec)\n", ""),
    _memory("settings never change", "topics", "            known.spec = spec\n", ""),
    _memory("making a topic again empties it", "topics", "if known is not None:", "if False:"),
    _memory(
        "topics are listed as they were made",
        "topics",
        "for _, topic in sorted(self._all_topics().items())",
        "for topic in self._all_topics().values()",
    ),
    _memory(
        "nobody is woken", "waits", "            self._watch.tell((into.spec.name, place))\n", "            pass\n"
    ),
    _memory(
        "whoever waits is told of any entry",
        "waits",
        "partition(at.partition).end > at.offset]",
        "partition(at.partition).end > 0]",
    ),
    _memory("a drop wakes nobody", "waits", "pop(name, None)\n        self._watch.tell_all()", "pop(name, None)"),
    _memory(
        "a stop wakes nobody",
        "waits",
        "for name, group in self._groups.items()}\n        self._watch.tell_all()",
        "for name, group in self._groups.items()}",
    ),
    _memory(
        "a stopped engine answers",
        "durability",
        "        if not self._open:\n            raise refusals.stopped()\n",
        "",
    ),
    _memory("statistics count what went", "durability", "each.end - each.start for each", "each.end for each"),
    _arrivals("entries have no limit", "limits", "if size > ENTRY_MAX_BYTES:", "if False:"),
    _arrivals("keys do not count", "limits", "size += len(key)", "size += 0"),
    _arrivals("headers do not count", "limits", "if entry.headers:\n        size +=", "if False:\n        size +="),
    _arrivals("calls have no limit", "limits", "if total > CALL_MAX_BYTES:", "if False:"),
    _arrivals(
        "a call of the greatest size is refused", "limits", "if total > CALL_MAX_BYTES:", "if total >= CALL_MAX_BYTES:"
    ),
    _arrivals("entries are not counted", "limits", "if len(entries) > CALL_MAX_ENTRIES:", "if False:"),
    _arrivals("headers are not counted", "limits", "if len(entry.headers) > HEADERS_MAX:", "if False:"),
    _arrivals("times ahead are taken", "appends", "0 <= time_us <= latest_us", "0 <= time_us"),
    _arrivals("times before 1970 are taken", "appends", "not 0 <= time_us <= latest_us", "time_us > latest_us"),
    _arrivals("compacted entries need no key", "compaction", "if is_compact and key is None:", "if False:"),
    _arrivals("names may be anything", "topics", "and _NAME.fullmatch(name):", "and True:"),
    _arrivals(
        "partitions have no bounds",
        "topics",
        "if not 1 <= spec.partitions <= PARTITIONS_MAX:",
        "if spec.partitions == 7:",
    ),
    _arrivals(
        "keys are spread as they come",
        "appends",
        "xxh3_64_intdigest(key) % partitions",
        "id(key) % partitions",
    ),
    _arrivals(
        "partitions are not checked",
        "appends",
        "if 0 <= partition < spec.partitions:",
        "if partition < spec.partitions:",
    ),
    _arrivals(
        "the partition is no part of a repetition", "tokens", "_encode((partition, entries))", "_encode(entries)"
    ),
    _arrivals("tokens may be anything", "tokens", "if 0 < len(encoded) <= TOKEN_MAX_BYTES and", "if True or"),
    Mutant(
        "one waiter of many is woken",
        "waits",
        [
            Change(
                WATCH,
                "for waiter in self._waiting.pop(key, ()):",
                "for waiter in list(self._waiting.pop(key, ()))[:1]:",
            )
        ],
    ),
)


def _membership(name: str, right: str, wrong: str) -> Mutant:
    return Mutant(name, "groups", [Change(MEMBERSHIP, right, wrong)])


GROUPS = (
    _membership("members are never given up", "if now_ns >= member.deadline_ns]", "if False]"),
    _membership("members are given up late", "if now_ns >= member.deadline_ns]", "if now_ns > member.deadline_ns]"),
    _membership("a beat is not heard", "found._replace(deadline_ns=now_ns + found.session_ns)", "found"),
    _membership(
        "joining again begins a generation",
        "if before is None or before.topics",
        "if True or before.topics",
    ),
    _membership("other topics change nothing", "before.topics != frozenset(topics) or", "False or"),
    _membership("a leaver is not followed", "if self.members.pop(member, None) is not None:", "if False:"),
    _membership("older generations commit", "if commit.generation != self.generation:", "if False:"),
    _membership(
        "anybody commits",
        "if self.members:\n                raise refusals.fenced",
        "if False:\n                raise refusals.fenced",
    ),
    _membership(
        "other members' partitions are committed",
        "if self.owners.get((topic, partition)) != commit.member:",
        "if False:",
    ),
    _membership("a generation stays", "        self.generation += 1\n", ""),
    _membership("shares are uneven", "while _evened(kept, subscribed):", "while False:"),
    _membership("nobody keeps what it has", "owner = owners.get(place)", "owner = None"),
    _membership("topics do not matter", "if place[0] in subscribed[member]]", "]"),
    _membership(
        "groups in use are forgotten",
        "        if self.members:\n            raise refusals.in_use(self.name)\n",
        "",
    ),
)


def _rocks(module: str, name: str, part: str, right: str, wrong: str) -> Mutant:
    return Mutant(name, part, [Change(f"{ROCKSDB}.{module}", right, wrong)])


ROCKS = (
    _rocks("reading", "whole rows are read whatever the limit", "reads", "and len(entries) <= self._room and", "and"),
    _rocks("reading", "whole rows are read whatever their size", "reads", "and size <= self._bytes:", ":"),
    _rocks("reading", "a row is read from its beginning", "reads", "if entry.offset >= self.next and not", "if not"),
    _rocks(
        "reading",
        "times of what went are found",
        "retention",
        "entry.time_us >= time_us and entry.offset >= partition.start",
        "entry.time_us >= time_us",
    ),
    _rocks(
        "reading",
        "a time finds its row only",
        "times",
        "return _first(iterator, partition, partition.floor if before is None else before.offset + 1).offset",
        "return partition.end",
    ),
    _rocks(
        "partition",
        "a partition begins anew",
        "durability",
        "if last is not None and last.offset >= partition.end:",
        "if False:",
    ),
    _rocks(
        "partition",
        "a partition forgets its head",
        "retention",
        "Head() if stored is None else _decode_head(stored)",
        "Head()",
    ),
    _rocks(
        "sweep",
        "retention takes the whole row",
        "retention",
        "floor = row.offset if row.entries[-1].offset >= start else start",
        "floor = start",
    ),
    _rocks(
        "sweep",
        "retention is forgotten",
        "retention",
        "    batch.rows.put(partition.key, msgspec.msgpack.encode(head), topic.handle)\n\n    def begun",
        "    def begun",
    ),
    _rocks("sweep", "one too few goes by bytes", "retention", "if before > given:", "if before >= given:"),
    _rocks(
        "sweep",
        "a token that was used again goes with the first",
        "tokens",
        ").time_us == OFFSET.unpack_from(key, skip)[0]:",
        ").time_us > 0:",
    ),
    _rocks(
        "compaction",
        "young entries go",
        "compaction",
        "        if entry.offset >= self._horizon:\n            return True\n",
        "",
    ),
    _rocks(
        "compaction",
        "an emptied end is forgotten",
        "compaction",
        "    batch.rows.put(partition.key, msgspec.msgpack.encode(head), topic.handle)\n",
        "",
    ),
    _rocks(
        "compaction",
        "deletes go at once",
        "compaction",
        "entry.value is not None or entry.time_us >= self._forgotten_us",
        "entry.value is not None",
    ),
    _rocks(
        "compaction",
        "a round is done too soon",
        "compaction",
        "ended = self._at >= self._horizon or not looked",
        "ended = True",
    ),
    _rocks(
        "topics",
        "settings are forgotten",
        "durability",
        "batch.rows.put(_key(entry.spec.name), msgspec.msgpack.encode(entry), topic.handle)\n\n        def changed",
        "_ = entry\n\n        def changed",
    ),
    _rocks(
        "groups",
        "generations are given out twice",
        "groups",
        "        batch.rows.put(key, OFFSET.pack(generation), self._catalogue.family().handle)\n",
        "        _ = key\n",
    ),
    _rocks(
        "groups",
        "positions stay behind",
        "groups",
        "            batch.rows.delete_range(begin, begin[:-1] + _AFTER_PARTITIONS, handle)\n",
        "            _ = begin\n",
    ),
    _rocks(
        "groups",
        "groups that begin alike share positions",
        "groups",
        "rows_between(source.db, begin, begin[:-1] + _AFTER_PARTITIONS)",
        'rows_between(source.db, begin[:-1], begin[:-1] + b"\\xff")',
    ),
    _rocks(
        "engine",
        "tokens are forgotten with the process",
        "tokens",
        "        batch.rows.put(key, _encode(Remembered(now_us, digest, spots)), into.handle)\n",
        "",
    ),
)
