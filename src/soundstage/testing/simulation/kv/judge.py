"""Whether what a store answered can be explained, and what follows from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from soundstage.testing.model import PUT, Version
from soundstage.testing.simulation.kv.history import ORIGIN, History, Record
from soundstage.testing.simulation.kv.worlds import World, Worlds, times
from soundstage.testing.simulation.scenario import Divergence


class Seen(NamedTuple):
    """An item as a reply showed it; `value` None was left out."""

    time_us: int
    token: str
    expires_us: int
    size: int
    value: bytes | None

    def is_of(self, version: Version) -> bool:
        """Whether this is how `version` looks."""
        return (
            version.time_us == self.time_us
            and version.kind == PUT
            and version.token == self.token
            and version.expires_us == self.expires_us
            and len(version.value) == self.size
            and self.value in (None, version.value)
        )


class Moment(NamedTuple):
    """When a call was answered: between two events, and at a time of the store's clock between two."""

    began: int
    ended: int
    least_us: int
    most_us: int


class Stamp(NamedTuple):
    """A record's token as a reply showed it."""

    time_us: int
    token: str


UNSEEN = Stamp(-1, "")
"""Of a reply that does not show the record's token."""


class Judge:
    """Judges the answers about one history."""

    def __init__(self, history: History) -> None:
        self.history: History = history
        self.by_key: int = 0

    def check(
        self,
        name: str,
        keys: Collection[bytes],
        seen: Mapping[bytes, Seen],
        moment: Moment,
        stamp: Stamp | None = UNSEEN,
    ) -> None:
        """Raise `Divergence` unless the record may have held this of `keys`, all at one moment.

        `stamp` is the record's token, None where the reply says that the record was never written.
        """
        record = self.history.record(name)
        worlds = Worlds(record, moment.began, moment.ended)
        if not worlds.exact:
            self._check_by_key(name, worlds, keys, seen, moment, stamp)
            return
        explaining = [world for world in worlds.all if _explains(world, keys, seen, moment, stamp)]
        if not explaining:
            raise Divergence(_report(name, worlds, keys, seen, moment, stamp))
        if worlds.maybe:
            self._learn(record, worlds, explaining, moment)

    def _check_by_key(
        self,
        name: str,
        worlds: Worlds,
        keys: Collection[bytes],
        seen: Mapping[bytes, Seen],
        moment: Moment,
        stamp: Stamp | None,
    ) -> None:
        self.by_key += 1
        for key in keys:
            shown = seen.get(key)
            if not any(_shows(version, shown, moment) for version in worlds.options(key)):
                raise Divergence(_report(name, worlds, [key], seen, moment, UNSEEN))
            if shown is not None:
                _learn_key(worlds, key, shown, moment.ended)
        if not any(_is_stamp(version, stamp) for version in worlds.newest_options()):
            raise Divergence(_report(name, worlds, [], {}, moment, stamp))

    def _learn(self, record: Record, worlds: Worlds, explaining: list[World], moment: Moment) -> None:
        for write in worlds.maybe:
            found = {world.applied.get(write) for world in explaining}
            if None not in found:
                write.sure_at = moment.ended if write.sure_at is None else min(write.sure_at, moment.ended)
                if len(found) == 1 and write.time_us is None:
                    record.stamp(write, found.pop() or 0)
            elif found == {None} and write.over_at is not None and write.over_at <= moment.began:
                record.drop(write)


def _learn_key(worlds: Worlds, key: bytes, shown: Seen, ended: int) -> None:
    alike = [version for version in worlds.options(key) if shown.is_of(version)]
    # Two payloads under one token may look alike where values are left out: then it is not known which was seen.
    if len(alike) > 1:
        return
    for write in worlds.maybe:
        if write.sure_keys is not None and write.sent.get(key) in alike:
            write.sure_keys[key] = min(write.sure_keys.get(key, ended), ended)


def _explains(
    world: World, keys: Collection[bytes], seen: Mapping[bytes, Seen], moment: Moment, stamp: Stamp | None
) -> bool:
    """Whether one `now` makes `world` look like this."""
    if not _is_stamp(world.newest, stamp):
        return False
    least_us, most_us, items = moment.least_us, moment.most_us, world.items
    for key in keys:
        version, shown = items.get(key, ORIGIN), seen.get(key)
        if shown is not None:
            if not shown.is_of(version):
                return False
            if version.expires_us:
                most_us = min(most_us, version.expires_us - 1)
        elif version.kind == PUT and version is not ORIGIN:
            if not version.expires_us:
                return False
            least_us = max(least_us, version.expires_us)
    return least_us <= most_us


def _shows(version: Version, shown: Seen | None, moment: Moment) -> bool:
    if shown is not None:
        return shown.is_of(version) and (not version.expires_us or moment.least_us < version.expires_us)
    if version.kind != PUT or version is ORIGIN:
        return True
    return bool(version.expires_us) and version.expires_us <= moment.most_us


def _is_stamp(newest: Version, stamp: Stamp | None) -> bool:
    if stamp is UNSEEN:
        return True
    if stamp is None:
        return newest is ORIGIN
    return newest.time_us == stamp.time_us and newest.token == stamp.token


def is_live(version: Version, now_us: int) -> bool:
    """Whether an item whose greatest version is `version` exists at `now_us`."""
    return version is not ORIGIN and version.kind == PUT and (not version.expires_us or now_us < version.expires_us)


def _report(
    name: str,
    worlds: Worlds,
    keys: Collection[bytes],
    seen: Mapping[bytes, Seen],
    moment: Moment,
    stamp: Stamp | None,
) -> str:
    """What was shown and what it should have been, for people."""
    lines = [f"record {name!r} cannot have looked like this, with the clock from {moment.least_us} to {moment.most_us}"]
    for key in keys:
        shown, options = seen.get(key), sorted(worlds.options(key))
        if shown is None or not all(shown.is_of(version) for version in options):
            lines.append(f"  {key!r} shows {shown} and may be {_names(options)}")
    if stamp is not UNSEEN:
        lines.append(f"  its token is shown as {stamp} and may be {_names(sorted(worlds.newest_options()))}")
    lines += [f"  uncertain: {write.shape} {write.token} of {sorted(times(write))}" for write in worlds.maybe]
    return "\n".join(lines)


def _names(options: list[Version]) -> str:
    return " or ".join("nothing" if version is ORIGIN else str(version) for version in options)
