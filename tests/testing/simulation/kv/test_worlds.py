from __future__ import annotations

from tests.testing.simulation.kv.writes import RECORD, acknowledged, begun, delete, put

from soundstage.testing.simulation.kv.history import ORIGIN, History, Write
from soundstage.testing.simulation.kv.worlds import WORLDS_MAX, Worlds


def worlds_of(history: History, began: int | None = None, *, without: Write | None = None) -> Worlds:
    return Worlds(
        history.record(RECORD), history.events if began is None else began, history.events + 1, without=without
    )


def held(worlds: Worlds, key: bytes) -> set[str]:
    """Whose version of `key` is the greatest, over all worlds."""
    return {world.items.get(key, ORIGIN).token for world in worlds.all}


def test_a_record_that_nothing_touches_is_one_world() -> None:
    history = History()
    acknowledged(history, put("a", 10, b"k"))
    worlds = worlds_of(history)
    assert len(worlds.all) == 1
    assert held(worlds, b"k") == {"a"}


def test_a_record_never_written_is_one_empty_world() -> None:
    (world,) = worlds_of(History()).all
    assert (world.items, world.newest) == ({}, ORIGIN)


def test_a_write_under_way_has_been_applied_or_not() -> None:
    history = History()
    acknowledged(history, put("a", 10, b"k"))
    begun(history, put("b", 20, b"k"))
    worlds = worlds_of(history)
    assert len(worlds.all) == 2
    assert held(worlds, b"k") == {"a", "b"}


def test_an_older_write_under_way_changes_nothing_that_shows() -> None:
    history = History()
    acknowledged(history, put("b", 20, b"k"))
    begun(history, put("a", 10, b"k"))
    assert held(worlds_of(history), b"k") == {"b"}


def test_writes_under_way_are_combined() -> None:
    history = History()
    for number, token in enumerate("abc"):
        begun(history, put(token, 10 + number, token.encode()))
    assert len(worlds_of(history).all) == 8


def test_a_batch_is_in_a_world_whole_or_not_at_all() -> None:
    history = History()
    begun(history, put("a", 10, b"k", b"l"))
    assert {(b"k" in world.items, b"l" in world.items) for world in worlds_of(history).all} == {
        (False, False),
        (True, True),
    }


def test_a_write_that_began_after_the_call_ended_is_in_no_world() -> None:
    history = History()
    ended = history.tick()
    begun(history, put("a", 10, b"k"))
    worlds = Worlds(history.record(RECORD), ended, ended)
    assert len(worlds.all) == 1


def test_a_write_acknowledged_before_the_call_is_in_every_world() -> None:
    history = History()
    reading = history.open()
    acknowledged(history, put("a", 10, b"k"))
    assert held(worlds_of(history), b"k") == {"a"}
    history.close(reading)


def test_a_write_acknowledged_during_the_call_may_have_come_after_it() -> None:
    history = History()
    reading = history.open()
    acknowledged(history, put("a", 10, b"k"))
    assert held(worlds_of(history, reading), b"k") == {"a", ORIGIN.token}


def test_a_conditional_write_under_way_may_have_several_times() -> None:
    history = History()
    acknowledged(history, put("a", 100, b"l"))
    begun(history, put("b", 10, b"k", conditional=True))
    times = {world.items[b"k"].time_us for world in worlds_of(history).all if b"k" in world.items}
    assert times == {10, 101}


def test_what_is_certain_but_for_its_time_is_in_every_world() -> None:
    history = History()
    acknowledged(history, put("a", 100, b"l"))
    write = begun(history, delete("b", 10, b"k", conditional=True))
    write.sure_at = history.tick()
    assert all(b"k" in world.items for world in worlds_of(history).all)


def test_the_newest_version_is_that_of_the_world() -> None:
    history = History()
    acknowledged(history, put("a", 10, b"k"))
    begun(history, delete("b", 20, b"l"))
    assert {world.newest.token for world in worlds_of(history).all} == {"a", "b"}


def test_a_write_can_be_left_out() -> None:
    history = History()
    write = begun(history, put("a", 10, b"k"))
    assert held(worlds_of(history, without=write), b"k") == {ORIGIN.token}


def test_a_write_that_may_be_applied_in_part_is_judged_by_key() -> None:
    history = History()
    acknowledged(history, put("a", 10, b"k", b"l"))
    write = put("b", 20, b"k", b"l")
    write.sure_keys = {}
    begun(history, write)
    worlds = worlds_of(history)
    assert not worlds.exact
    assert {version.token for version in worlds.options(b"k")} == {"a", "b"}
    assert {version.token for version in worlds.newest_options()} == {"a", "b"}


def test_a_key_of_such_a_write_that_was_seen_is_certain() -> None:
    history = History()
    acknowledged(history, put("a", 10, b"k", b"l"))
    write = put("b", 20, b"k", b"l")
    write.sure_keys = {b"k": history.tick()}
    begun(history, write)
    worlds = worlds_of(history)
    assert {version.token for version in worlds.options(b"k")} == {"b"}
    assert {version.token for version in worlds.options(b"l")} == {"a", "b"}
    assert {version.token for version in worlds.newest_options()} == {"b"}


def test_options_hold_only_what_can_win() -> None:
    history = History()
    acknowledged(history, put("b", 20, b"k"))
    begun(history, put("a", 10, b"k"))
    assert {version.token for version in worlds_of(history).options(b"k")} == {"b"}


def test_too_many_worlds_are_judged_by_key() -> None:
    history = History()
    for number in range(WORLDS_MAX.bit_length()):
        begun(history, put(f"t{number}", number + 1, b"k"))
    worlds = worlds_of(history)
    assert not worlds.exact
    assert len(worlds.options(b"k")) == WORLDS_MAX.bit_length() + 1
