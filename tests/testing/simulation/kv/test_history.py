from __future__ import annotations

from tests.testing.simulation.kv.writes import RECORD, acknowledged, begun, delete, put

from soundstage.testing.model import DELETE, PUT, Version
from soundstage.testing.simulation.kv.history import ORIGIN, History, stamps


def test_events_are_counted() -> None:
    history = History()
    assert [history.tick() for _ in range(3)] == [1, 2, 3]


def test_what_is_certain_for_everybody_is_folded() -> None:
    history = History()
    write = acknowledged(history, put("a", 10, b"k"))
    record = history.record(RECORD)
    assert record.recent == []
    assert record.best == {b"k": write.sent[b"k"]}
    assert record.newest == Version(10, PUT, "a")


def test_the_greatest_version_of_each_key_is_kept() -> None:
    history = History()
    acknowledged(history, put("b", 20, b"k", b"l"))
    acknowledged(history, put("a", 10, b"k", b"m"))
    best = history.record(RECORD).best
    assert {key: version.token for key, version in best.items()} == {b"k": "b", b"l": "b", b"m": "a"}


def test_a_delete_is_greater_than_a_put_of_its_microsecond() -> None:
    history = History()
    acknowledged(history, delete("a", 10, b"k"))
    acknowledged(history, put("z", 10, b"k"))
    assert history.record(RECORD).best[b"k"].kind == DELETE
    assert history.record(RECORD).newest == Version(10, DELETE, "a")


def test_the_order_of_versions_is_that_of_their_ranks() -> None:
    """Without metadata, which no step writes, the tuples compare as the rule says."""
    versions = [
        Version(time_us, kind, token, expires_us, b"", value)
        for time_us in (1, 2)
        for kind in (PUT, DELETE)
        for token in ("a", "b", "é")
        for expires_us in (0, 5)
        for value in (b"", b"a", b"b")
    ]
    assert sorted(versions) == sorted(versions, key=Version.rank)
    assert min(versions) > ORIGIN


def test_nothing_is_folded_past_a_call_that_began_before() -> None:
    history = History()
    reading = history.open()
    write = acknowledged(history, put("a", 10, b"k"))
    assert history.record(RECORD).recent == [write]
    history.close(reading, RECORD)
    assert history.record(RECORD).recent == []


def test_a_call_under_way_twice_is_closed_twice() -> None:
    history = History()
    reading = history.reopen(history.open())
    write = acknowledged(history, put("a", 10, b"k"))
    history.close(reading, RECORD)
    assert history.record(RECORD).recent == [write]
    history.close(reading, RECORD)
    assert history.record(RECORD).recent == []


def test_a_write_whose_answer_has_not_come_stays() -> None:
    history = History()
    write = begun(history, put("a", 10, b"k"))
    acknowledged(history, put("b", 20, b"l"))
    assert write in history.record(RECORD).recent


def test_a_write_that_was_never_applied_is_dropped() -> None:
    history = History()
    write = begun(history, put("a", 10, b"k"))
    history.record(RECORD).drop(write)
    history.record(RECORD).drop(write)
    assert history.record(RECORD).recent == []


def test_what_is_over_and_surpassed_in_every_key_is_forgotten() -> None:
    history = History()
    write = begun(history, put("a", 10, b"k", b"l"))
    write.over_at = history.tick()
    history.close(write.begun, RECORD)
    acknowledged(history, put("b", 20, b"k"))
    assert history.record(RECORD).recent == [write]
    acknowledged(history, delete("c", 30, b"l"))
    assert history.record(RECORD).recent == []


def test_a_surpassed_write_that_may_still_be_applied_is_not_forgotten() -> None:
    history = History()
    write = begun(history, put("a", 10, b"k"))
    acknowledged(history, put("b", 20, b"k"))
    history.close(write.begun, RECORD)
    assert history.record(RECORD).recent == [write]


def test_a_conditional_write_has_no_time_before_it_is_answered() -> None:
    write = put("a", 10, b"k", conditional=True)
    assert write.time_us is None
    assert put("a", 10, b"k").time_us == 10


def test_a_conditional_write_is_stamped_after_what_was_there() -> None:
    history = History()
    acknowledged(history, put("a", 100, b"k"))
    write = begun(history, put("b", 10, b"k", conditional=True))
    assert stamps(write) == {10, 101}


def test_a_conditional_write_may_be_stamped_after_what_comes_while_it_is_under_way() -> None:
    history = History()
    write = begun(history, put("b", 10, b"k", conditional=True))
    begun(history, put("c", 500, b"l"))
    assert stamps(write) == {10, 501}


def test_two_conditional_writes_may_be_stamped_after_each_other() -> None:
    history = History()
    acknowledged(history, put("a", 100, b"k"))
    one = begun(history, put("b", 10, b"k", conditional=True))
    other = begun(history, put("c", 20, b"k", conditional=True))
    assert {101, 102} <= stamps(one)
    assert {101, 102} <= stamps(other)


def test_a_stamp_that_is_known_bounds_the_others() -> None:
    history = History()
    one = begun(history, put("b", 10, b"k", conditional=True))
    other = begun(history, put("c", 20, b"k", conditional=True))
    history.record(RECORD).stamp(one, 700)
    assert 701 in stamps(other)


def test_a_stamped_write_gives_every_key_its_time() -> None:
    write = put("a", 10, b"k", b"l", conditional=True)
    assert {version.time_us for version in write.versions(55).values()} == {55}
    assert write.versions(10) is write.sent


def test_records_are_kept_apart() -> None:
    history = History()
    acknowledged(history, put("a", 10, b"k"))
    assert history.record("other").best == {}
    assert history.record(RECORD).best != {}
