from __future__ import annotations

import pytest
from tests.testing.simulation.kv.writes import RECORD, acknowledged, begun, delete, now, put, seen

from soundstage.testing.model import PUT, Version
from soundstage.testing.simulation.kv.history import ORIGIN, History
from soundstage.testing.simulation.kv.judge import Judge, Moment, Seen, Stamp, is_live
from soundstage.testing.simulation.scenario import Divergence


def test_what_was_acknowledged_must_be_shown() -> None:
    history = History()
    write = acknowledged(history, put("a", 10, b"k"))
    judge = Judge(history)
    judge.check(RECORD, [b"k"], {b"k": seen(write, b"k")}, now(history))
    with pytest.raises(Divergence, match=r"b'k' shows None and may be Version\(time_us=10"):
        judge.check(RECORD, [b"k"], {}, now(history))


def test_what_nobody_wrote_must_not_be_shown() -> None:
    history = History()
    stranger = put("x", 10, b"k")
    with pytest.raises(Divergence, match="and may be nothing"):
        Judge(history).check(RECORD, [b"k"], {b"k": seen(stranger, b"k")}, now(history))


@pytest.mark.parametrize(
    "wrong",
    [
        Seen(11, "a", 0, 1, b"a"),
        Seen(10, "b", 0, 1, b"a"),
        Seen(10, "a", 5, 1, b"a"),
        Seen(10, "a", 0, 2, None),
        Seen(10, "a", 0, 1, b"b"),
    ],
)
def test_every_part_of_an_item_must_be_right(wrong: Seen) -> None:
    history = History()
    acknowledged(history, put("a", 10, b"k"))
    with pytest.raises(Divergence):
        Judge(history).check(RECORD, [b"k"], {b"k": wrong}, now(history))


def test_a_value_may_be_left_out() -> None:
    history = History()
    write = acknowledged(history, put("a", 10, b"k"))
    Judge(history).check(RECORD, [b"k"], {b"k": seen(write, b"k", value=None)}, now(history))


def test_an_older_version_must_not_be_shown() -> None:
    history = History()
    old = acknowledged(history, put("a", 10, b"k"))
    acknowledged(history, put("b", 20, b"k"))
    with pytest.raises(Divergence):
        Judge(history).check(RECORD, [b"k"], {b"k": seen(old, b"k")}, now(history))


def test_what_was_deleted_must_not_be_shown() -> None:
    history = History()
    write = acknowledged(history, put("a", 10, b"k"))
    acknowledged(history, delete("b", 20, b"k"))
    judge = Judge(history)
    judge.check(RECORD, [b"k"], {}, now(history))
    with pytest.raises(Divergence):
        judge.check(RECORD, [b"k"], {b"k": seen(write, b"k")}, now(history))


def test_keys_that_were_not_asked_for_are_not_judged() -> None:
    history = History()
    acknowledged(history, put("a", 10, b"k"))
    Judge(history).check(RECORD, [b"other"], {}, now(history))


def test_a_write_under_way_may_show_or_not() -> None:
    history = History()
    old = acknowledged(history, put("a", 10, b"k"))
    begun(history, put("b", 20, b"k"))
    judge = Judge(history)
    judge.check(RECORD, [b"k"], {b"k": seen(old, b"k")}, now(history))
    judge.check(RECORD, [b"k"], {b"k": seen(old, b"k")}, now(history))


def test_what_was_seen_once_must_be_seen_from_then_on() -> None:
    history = History()
    old = acknowledged(history, put("a", 10, b"k"))
    new = begun(history, put("b", 20, b"k"))
    judge = Judge(history)
    judge.check(RECORD, [b"k"], {b"k": seen(new, b"k")}, now(history))
    with pytest.raises(Divergence):
        judge.check(RECORD, [b"k"], {b"k": seen(old, b"k")}, now(history))


def test_a_read_that_overlaps_the_one_that_saw_it_need_not_see_it() -> None:
    history = History()
    old = acknowledged(history, put("a", 10, b"k"))
    new = begun(history, put("b", 20, b"k"))
    early = history.tick()
    judge = Judge(history)
    judge.check(RECORD, [b"k"], {b"k": seen(new, b"k")}, now(history))
    judge.check(RECORD, [b"k"], {b"k": seen(old, b"k")}, Moment(early, history.tick(), 1_000, 1_000))


def test_a_delete_that_alone_explains_an_absence_is_certain() -> None:
    history = History()
    write = acknowledged(history, put("a", 10, b"k"))
    begun(history, delete("b", 20, b"k"))
    judge = Judge(history)
    judge.check(RECORD, [b"k"], {}, now(history))
    with pytest.raises(Divergence):
        judge.check(RECORD, [b"k"], {b"k": seen(write, b"k")}, now(history))


def test_of_two_deletes_either_may_explain_an_absence() -> None:
    history = History()
    write = acknowledged(history, put("a", 10, b"k"))
    begun(history, delete("b", 20, b"k"))
    begun(history, delete("c", 30, b"k"))
    judge = Judge(history)
    judge.check(RECORD, [b"k"], {}, now(history))
    assert {each.sure_at for each in history.record(RECORD).recent} == {None}
    judge.check(RECORD, [b"k"], {b"k": seen(write, b"k")}, now(history))


def test_a_page_shows_all_or_nothing_of_a_batch() -> None:
    history = History()
    old = acknowledged(history, put("a", 10, b"k", b"l"))
    new = begun(history, put("b", 20, b"k", b"l"))
    torn = {b"k": seen(new, b"k"), b"l": seen(old, b"l")}
    with pytest.raises(Divergence, match="uncertain: put b of"):
        Judge(history).check(RECORD, [b"k", b"l"], torn, now(history))


def test_a_page_may_show_a_part_of_a_batch_where_replicas_are() -> None:
    history = History()
    old = acknowledged(history, put("a", 10, b"k", b"l"))
    new = put("b", 20, b"k", b"l")
    new.sure_keys = {}
    begun(history, new)
    judge = Judge(history)
    judge.check(RECORD, [b"k", b"l"], {b"k": seen(new, b"k"), b"l": seen(old, b"l")}, now(history))
    assert judge.by_key == 1
    with pytest.raises(Divergence):
        judge.check(RECORD, [b"k", b"l"], {b"k": seen(old, b"k"), b"l": seen(old, b"l")}, now(history))


def test_of_two_payloads_that_look_alike_neither_is_certain() -> None:
    """A token that is reused names both; without their values nobody can tell which one a page has shown."""
    history = History()
    first = acknowledged(history, put("a", 10, b"k", b"l"))
    other = put("a", 10, b"k", b"l")
    other.sent = {key: version._replace(value=b"b") for key, version in other.sent.items()}
    other.sure_keys = {}
    begun(history, other)
    judge, hidden = Judge(history), {b"k": seen(first, b"k", value=None)}
    judge.check(RECORD, [b"k"], hidden, now(history))
    judge.check(RECORD, [b"k"], {b"k": seen(first, b"k")}, now(history))
    judge.check(RECORD, [b"k"], {b"k": seen(other, b"k")}, now(history))
    with pytest.raises(Divergence):
        judge.check(RECORD, [b"k"], {b"k": seen(first, b"k")}, now(history))
    judge.check(RECORD, [b"l"], {b"l": seen(first, b"l")}, now(history))


def test_once_acknowledged_such_a_batch_is_whole() -> None:
    history = History()
    old = acknowledged(history, put("a", 10, b"k", b"l"))
    new = put("b", 20, b"k", b"l")
    new.sure_keys = {}
    acknowledged(history, new)
    with pytest.raises(Divergence):
        Judge(history).check(RECORD, [b"k", b"l"], {b"k": seen(new, b"k"), b"l": seen(old, b"l")}, now(history))


@pytest.mark.parametrize(("now_us", "shown"), [(499, True), (500, False)])
def test_an_item_lives_to_its_last_microsecond(now_us: int, shown: bool) -> None:
    history = History()
    write = acknowledged(history, put("a", 10, b"k", expires_us=500))
    found = {b"k": seen(write, b"k")}
    judge, moment = Judge(history), now(history, now_us)
    judge.check(RECORD, [b"k"], found if shown else {}, moment)
    with pytest.raises(Divergence):
        judge.check(RECORD, [b"k"], {} if shown else found, moment)


def test_an_item_that_expires_meanwhile_may_show_or_not() -> None:
    history = History()
    write = acknowledged(history, put("a", 10, b"k", expires_us=500))
    judge = Judge(history)
    judge.check(RECORD, [b"k"], {}, now(history, 499, 500))
    judge.check(RECORD, [b"k"], {b"k": seen(write, b"k")}, now(history, 499, 500))


def test_a_page_has_one_now_for_all_its_items() -> None:
    history = History()
    first = acknowledged(history, put("a", 10, b"k", expires_us=500))
    second = acknowledged(history, put("b", 11, b"l", expires_us=600))
    judge, moment = Judge(history), now(history, 400, 700)
    judge.check(RECORD, [b"k", b"l"], {b"l": seen(second, b"l")}, moment)
    with pytest.raises(Divergence):
        judge.check(RECORD, [b"k", b"l"], {b"k": seen(first, b"k")}, moment)


def test_an_expired_put_hides_what_is_older() -> None:
    history = History()
    old = acknowledged(history, put("a", 10, b"k"))
    acknowledged(history, put("b", 20, b"k", expires_us=500))
    with pytest.raises(Divergence):
        Judge(history).check(RECORD, [b"k"], {b"k": seen(old, b"k")}, now(history, 1_000))


def test_a_record_s_token_is_that_of_its_greatest_write() -> None:
    history = History()
    write = acknowledged(history, put("a", 10, b"k"))
    acknowledged(history, delete("b", 20, b"l"))
    judge, found = Judge(history), {b"k": seen(write, b"k")}
    judge.check(RECORD, [b"k"], found, now(history), Stamp(20, "b"))
    for wrong in (Stamp(10, "a"), Stamp(20, "c"), None):
        with pytest.raises(Divergence, match="its token is shown as"):
            judge.check(RECORD, [b"k"], found, now(history), wrong)


def test_a_record_never_written_has_no_token() -> None:
    judge = Judge(History())
    judge.check(RECORD, [], {}, now(judge.history), None)
    with pytest.raises(Divergence):
        judge.check(RECORD, [], {}, now(judge.history), Stamp(1, "a"))


def test_items_and_token_are_of_one_moment() -> None:
    history = History()
    old = acknowledged(history, put("a", 10, b"k"))
    begun(history, put("b", 20, b"k"))
    with pytest.raises(Divergence):
        Judge(history).check(RECORD, [b"k"], {b"k": seen(old, b"k")}, now(history), Stamp(20, "b"))


def test_the_time_of_a_conditional_write_is_learnt_from_what_shows_it() -> None:
    history = History()
    acknowledged(history, put("a", 100, b"l"))
    write = begun(history, put("b", 10, b"k", conditional=True))
    Judge(history).check(RECORD, [b"k"], {b"k": seen(write, b"k", time_us=101)}, now(history))
    assert write.time_us == 101


def test_a_write_that_is_over_and_not_shown_never_was() -> None:
    history = History()
    old = acknowledged(history, put("a", 10, b"k"))
    write = begun(history, put("b", 20, b"k"))
    write.over_at = history.tick()
    Judge(history).check(RECORD, [b"k"], {b"k": seen(old, b"k")}, now(history))
    assert history.record(RECORD).recent == []


@pytest.mark.parametrize(
    ("version", "live"),
    [
        (ORIGIN, False),
        (Version(1, PUT, "a"), True),
        (Version(1, PUT, "a", 101), True),
        (Version(1, PUT, "a", 100), False),
        (Version(1, 1, "a"), False),
    ],
)
def test_what_is_live_at_100(version: Version, live: bool) -> None:
    assert is_live(version, 100) is live
