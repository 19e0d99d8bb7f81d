from __future__ import annotations

from collections.abc import Iterable

import pytest

from soundstage.testing.simulation.scenario import Divergence
from soundstage.testing.simulation.viewed import Viewed


def model(state: int, amount: int) -> Iterable[tuple[int, int]]:
    """Adds, and answers with the sum; adding nothing is looking."""
    return [(state + amount, state + amount)]


def counter() -> Viewed[int, int, int]:
    return Viewed(0, model, 0)


def show(viewed: Viewed[int, int, int], state: int, *, current: bool = True) -> None:
    viewed.show(viewed.look(), state, state, current=current)


def lost(viewed: Viewed[int, int, int], amount: int) -> None:
    viewed.lose(viewed.begin(amount))


def test_a_reader_sees_what_was_acknowledged() -> None:
    viewed = counter()
    viewed.end(viewed.begin(3), 3)
    show(viewed, 3)


def test_a_reader_who_sees_what_was_before_is_found_out() -> None:
    viewed = counter()
    viewed.end(viewed.begin(3), 3)
    with pytest.raises(Divergence, match="answered with 0"):
        show(viewed, 0)


def test_a_reader_may_see_a_change_that_is_under_way_and_then_sees_no_less() -> None:
    viewed = counter()
    viewed.begin(3)
    show(viewed, 0)
    show(viewed, 3)
    with pytest.raises(Divergence):
        show(viewed, 0)


def test_a_change_that_was_refused_is_never_seen() -> None:
    viewed = counter()
    viewed.refuse(viewed.begin(3))
    with pytest.raises(Divergence, match="answered with 3"):
        show(viewed, 3)


def test_an_answer_that_no_order_explains_is_found_out() -> None:
    viewed = counter()
    with pytest.raises(Divergence, match="answered with 4"):
        viewed.end(viewed.begin(3), 4)


def test_a_change_that_nobody_knows_of_may_be_seen_and_not_be_seen_until_the_store_is_read() -> None:
    viewed = counter()
    lost(viewed, 3)
    for state in (3, 0, 3):
        show(viewed, state)


def test_once_the_store_was_read_readers_agree() -> None:
    viewed = counter()
    lost(viewed, 3)
    viewed.refresh()
    show(viewed, 3)
    with pytest.raises(Divergence):
        show(viewed, 0)


def test_what_was_before_the_store_was_read_is_not_shown_again() -> None:
    viewed = counter()
    viewed.end(viewed.begin(3), 3)
    viewed.end(viewed.begin(1), 4)
    viewed.refresh()
    lost(viewed, 1)
    show(viewed, 5)
    with pytest.raises(Divergence, match="3 was shown"):
        show(viewed, 3)


def test_in_doubt_a_state_that_never_was_is_found_out() -> None:
    viewed = counter()
    lost(viewed, 3)
    with pytest.raises(Divergence, match="7 was shown"):
        show(viewed, 7)


def test_a_reader_of_a_process_that_was_exchanged_may_see_what_was() -> None:
    viewed = counter()
    viewed.end(viewed.begin(3), 3)
    show(viewed, 0, current=False)
    with pytest.raises(Divergence):
        show(viewed, 7, current=False)


def test_a_reader_of_an_exchanged_process_says_nothing_about_the_store() -> None:
    viewed = counter()
    lost(viewed, 3)
    show(viewed, 0, current=False)
    viewed.refresh()
    show(viewed, 3)


def test_who_asked_before_the_store_was_read_may_be_shown_what_was() -> None:
    viewed = counter()
    early = viewed.look()
    viewed.end(viewed.begin(3), 3)
    viewed.refresh()
    late = viewed.look()
    viewed.show(early, 0, 0, current=False)
    with pytest.raises(Divergence, match="0 was shown"):
        viewed.show(late, 0, 0, current=False)


def test_doubt_about_what_was_asked_before_is_not_ended_by_reading_the_store() -> None:
    viewed = counter()
    lost(viewed, 3)
    early = viewed.look()
    viewed.refresh()
    show(viewed, 3)
    viewed.show(early, 0, 0, current=True)


def test_a_change_that_is_sent_while_a_reader_waits_may_be_shown_to_it() -> None:
    viewed = counter()
    lost(viewed, 3)
    waiting = viewed.look()
    lost(viewed, 4)
    viewed.show(waiting, 7, 7, current=True)


def test_a_change_that_is_over_takes_no_effect_any_more() -> None:
    viewed = counter()
    lost(viewed, 3)
    viewed.refresh()
    show(viewed, 0)
    with pytest.raises(Divergence, match="answered with 3"):
        show(viewed, 3)


def test_a_look_that_was_refused_is_over() -> None:
    viewed = counter()
    viewed.refuse(viewed.look())
    viewed.end(viewed.begin(3), 3)
    show(viewed, 3)
