"""The page on tests says which fault of which server is shown by which file; here is by which tests of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`((?:[a-z0-9_]+/)+test_[a-z0-9_]+)`")

KILLED, HANGS, SLOW, REFUSES, STRANGERS, HALF, FULL, CLOCKS, DRIVER = (
    "killed and started again amid calls",
    "hangs for ten seconds",
    "is slow: late, or a trickle",
    "refuses connections",
    "does not know who asks, or cannot be trusted",
    "half the cluster, or more, is gone",
    "has no room on its disk, or in memory",
    "clocks disagree",
    "its driver raises whatever it can",
)
ENGINES = ("Cassandra", "Kafka", "OpenSearch", "PostgreSQL, of tables", "S3", "memcached")

Shown = Mapping[str, Mapping[str, tuple[str, ...]]]
"""The tests of a cell, by the name of their file."""

CASSANDRA: Shown = {
    KILLED: {
        "cassandra/test_faults": ("nothing_acknowledged_is_lost_when_the_node_is_killed",),
        "ring/test_survival": ("one_node_may_be_killed_and_two_only_hold_calls_up_until_they_are_back",),
    },
    HANGS: {
        "cassandra/test_faults": (
            "a_node_that_hangs_ends_calls_at_their_deadline",
            "a_call_repeated_after_a_hang_has_one_effect",
        ),
        "ring/test_survival": ("a_node_that_hangs_holds_up_nobody_for_good",),
    },
    SLOW: {
        "cassandra/test_slow": (
            "calls_end_by_their_deadline_and_all_goes_on_when_it_is_quick_again",
            "what_was_acknowledged_while_it_was_slow_is_there",
        )
    },
    REFUSES: {
        "cassandra/test_faults": (
            "a_refused_connection_fails_the_start_with_the_reason",
            "a_node_that_is_down_is_unavailable_and_nothing_was_applied",
        )
    },
    STRANGERS: {
        "cassandra/test_faults": (
            "a_wrong_password_fails_the_start_at_once",
            "a_password_in_a_variable_lets_in_and_a_wrong_one_does_not",
            "over_tls_all_is_as_without",
            "a_node_that_is_not_who_it_should_be_fails_the_start_with_the_reason",
        )
    },
    HALF: {
        "ring/test_survival": ("one_node_may_be_killed_and_two_only_hold_calls_up_until_they_are_back",),
        "cassandra/test_centres": (
            "with_the_other_data_centre_gone_one_goes_on_alone_and_a_quorum_of_all_is_unavailable",
            "a_stage_whose_other_data_centre_is_gone_serves_what_is_local_and_loses_nothing",
        ),
    },
    FULL: {"cassandra/test_faults": ("a_node_whose_disk_is_full_takes_nothing_and_loses_nothing",)},
    CLOCKS: {
        "cassandra/test_clocks": ("a_process_whose_clock_is_not_the_nodes_reads_what_it_wrote",),
        "ring/test_clocks": ("the_clocks_of_the_nodes_disagree", "a_delete_hides_what_is_older_and_nothing_else"),
        "outbox/test_two_stages": ("nothing_acknowledged_is_lost_or_stale_through_either",),
    },
    DRIVER: {"engines/walk/test_cassandra": ("no_exception_of_the_driver_passes_a_call",)},
}
KAFKA: Shown = {
    KILLED: {
        "kafka/test_faults": (
            "nothing_is_lost_doubled_or_halved_when_the_broker_is_killed",
            "all_go_on_after_a_broker_was_down",
        ),
        "kafka/test_halfway": ("of_a_process_that_dies_amid_a_transaction_nothing_is_left_and_nobody_waits_for_good",),
        "brokers/test_survival": ("all_go_on_when_one_after_another_is_killed_and_then_two",),
    },
    HANGS: {
        "kafka/test_faults": (
            "a_broker_that_hangs_ends_appends_at_their_deadline",
            "of_first_entries_that_a_broker_hung_amid_all_is_there_that_was_acknowledged",
        )
    },
    SLOW: {
        "kafka/test_slow": (
            "calls_end_by_their_deadline_and_all_goes_on_when_it_is_quick_again",
            "of_what_was_acknowledged_while_it_was_slow_all_is_there_once_and_in_order",
        )
    },
    REFUSES: {"kafka/test_faults": ("a_refused_connection_fails_the_start_with_the_reason",)},
    STRANGERS: {
        "kafka/test_security": (
            "a_wrong_password_or_user_is_told_at_once",
            "a_password_in_a_variable_lets_in_and_a_wrong_one_does_not",
            "a_broker_that_cannot_be_trusted_is_told_at_once",
            "a_login_that_is_withdrawn_later_is_told_to_who_waits",
        )
    },
    HALF: {
        "brokers/test_survival": (
            "all_go_on_when_one_after_another_is_killed_and_then_two",
            "what_calls_gave_up_while_two_hang_is_there_once",
        )
    },
    FULL: {"kafka/test_faults": ("a_broker_whose_disk_is_full_takes_nothing_and_loses_nothing",)},
    CLOCKS: {"kafka/test_clocks": ("a_group_of_processes_whose_clocks_disagree_shares_a_topic",)},
    DRIVER: {"engines/walk/test_kafka": ("no_error_of_the_driver_passes_a_call",)},
}
OPENSEARCH: Shown = {
    KILLED: {
        "opensearch/test_faults": ("what_was_acknowledged_is_there_after_a_kill_and_the_engine_comes_back",),
        "opensearch/test_timeseries_faults": (
            "an_index_whose_node_dies_is_followed_again_when_that_is_back_and_lacks_nothing",
        ),
    },
    HANGS: {"opensearch/test_faults": ("while_a_node_hangs_calls_end_by_their_deadline",)},
    SLOW: {
        "opensearch/test_slow": (
            "calls_end_by_their_deadline_and_all_goes_on_when_it_is_quick_again",
            "an_answer_that_trickles_is_not_waited_for_beyond_the_deadline",
        )
    },
    REFUSES: {"opensearch/test_faults": ("where_nobody_listens_the_outcome_is_known",)},
    STRANGERS: {
        "opensearch/test_security": (
            "with_a_wrong_password_or_none_nobody_is_let_in",
            "a_password_in_a_variable_lets_in_and_a_wrong_one_does_not",
            "a_certificate_that_is_not_to_be_trusted_ends_the_start_at_once",
        )
    },
    HALF: {
        "opensearch/test_faults": (
            "of_two_nodes_the_one_that_answers_is_asked",
            "while_a_shard_is_missing_nothing_is_answered_of_the_rest",
        )
    },
    FULL: {
        "opensearch/test_faults": (
            "a_full_disk_refuses_writes_answers_searches_and_takes_writes_again_when_there_is_room",
        )
    },
    CLOCKS: {"engines/search/opensearch/test_clocks": ("the_engine_reads_no_clock_but_the_monotonic_one",)},
    DRIVER: {"engines/walk/test_opensearch": ("no_exception_of_the_client_passes_a_call",)},
}
POSTGRESQL: Shown = {
    KILLED: {
        "tables/test_shared": ("of_changes_amid_which_the_database_is_killed_none_is_lost_that_was_acknowledged",)
    },
    HANGS: {"tables/test_shared": ("a_database_that_hangs_is_unavailable_in_time_and_used_again_when_it_goes_on",)},
    SLOW: {
        "tables/test_slow": (
            "calls_end_by_their_deadline_and_all_goes_on_when_it_is_quick_again",
            "what_was_acknowledged_while_it_was_slow_is_there_once",
        )
    },
    REFUSES: {"tables/test_shared": ("a_refused_connection_fails_the_start_with_the_reason",)},
    STRANGERS: {
        "tables/test_shared": (
            "a_password_comes_from_a_file_and_a_wrong_one_fails_the_start",
            "a_password_in_a_variable_lets_in_and_a_wrong_one_does_not",
        ),
        "tables/test_security": ("who_is_not_trusted_ends_the_start_at_once",),
    },
    HALF: {},
    FULL: {"tables/test_full": ("a_catalogue_without_room_is_exhausted_and_has_what_it_acknowledged",)},
    CLOCKS: {"tables/test_clocks": ("a_change_by_a_clock_that_is_behind_the_last_one_is_made_and_comes_after_it",)},
    DRIVER: {"engines/walk/test_iceberg": ("no_exception_of_the_catalogue_passes_a_call",)},
}
S3: Shown = {
    KILLED: {
        "s3/test_faults": (
            "a_server_that_was_killed_refuses_and_is_used_again_when_it_is_back",
            "a_server_that_is_killed_amid_a_large_put_ends_it_in_time_and_nothing_half_is_there",
        )
    },
    HANGS: {"s3/test_faults": ("a_server_that_hangs_ends_calls_in_time_and_is_used_again",)},
    SLOW: {
        "s3/test_faults": (
            "a_slow_server_is_waited_for_as_long_as_it_goes_on",
            "a_server_that_is_too_slow_ends_calls_in_time_and_is_used_again_when_it_is_quick",
        )
    },
    REFUSES: {"s3/test_faults": ("a_refused_connection_fails_the_start_with_the_reason",)},
    STRANGERS: {
        "s3/test_faults": (
            "keys_come_from_the_stage_file_and_wrong_ones_fail_the_start_at_once",
            "a_key_whose_secret_is_in_a_variable_is_let_in_and_with_a_wrong_one_it_is_not",
            "over_tls_the_server_must_be_known",
        )
    },
    HALF: {},
    FULL: {"engines/walk/test_s3": ("a_refusal_is_told_as_what_it_means",)},
    CLOCKS: {"engines/blobs/s3/test_clocks": ("a_clock_that_goes_wrong_refuses_calls_and_once_it_is_right_they_work",)},
    DRIVER: {"engines/walk/test_s3": ("no_exception_of_the_driver_passes_a_call",)},
}
MEMCACHED: Shown = {
    KILLED: {
        "engines/cache/memcached/test_engine": (
            "calls_amid_which_a_server_is_killed_end_at_once",
            "a_server_that_comes_back_is_used_again",
        )
    },
    HANGS: {"engines/cache/memcached/test_engine": ("a_server_that_hangs_is_out_of_time_and_then_passed_over",)},
    SLOW: {"engines/cache/memcached/test_slow": ("calls_end_in_their_time_and_all_goes_on_when_it_is_quick_again",)},
    REFUSES: {"engines/cache/memcached/test_engine": ("where_nobody_listens_a_get_is_a_miss_and_nothing_stays_open",)},
    STRANGERS: {
        "engines/cache/memcached/test_security": (
            "with_a_wrong_password_or_none_nobody_is_let_in",
            "the_check_of_engines_goes_through_the_door_too",
            "a_server_that_cannot_be_trusted_ends_the_start",
        )
    },
    HALF: {"engines/cache/memcached/test_engine": ("of_a_server_that_was_killed_only_its_keys_are_gone",)},
    FULL: {
        "engines/cache/memcached/test_engine": (
            "a_full_server_forgets_what_was_not_used_for_longest",
            "a_full_server_that_may_forget_nothing_says_so_and_keeps_what_it_has",
        )
    },
    CLOCKS: {
        "engines/cache/memcached/test_engine": ("a_process_whose_clock_is_years_off_keeps_values_as_long_as_any",)
    },
    DRIVER: {"engines/walk/test_memcached": ("a_refusal_is_told_as_what_it_means",)},
}
SHOWN: Mapping[str, Shown] = MappingProxyType(
    dict(zip(ENGINES, (CASSANDRA, KAFKA, OPENSEARCH, POSTGRESQL, S3, MEMCACHED), strict=True))
)

ONE_SERVER = {("PostgreSQL, of tables", HALF), ("S3", HALF)}
"""What has no half."""


def told() -> dict[tuple[str, str], str]:
    """What the page says of each engine and fault."""
    text = (ROOT / "docs" / "testing.md").read_text()
    part = text.partition("## What real servers are made to do")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]
    heads = rows[0][1:]
    return {(head, row[0]): cell for row in rows[2:] for head, cell in zip(heads, row[1:], strict=True)}


def text_of(name: str) -> str:
    """The file of tests of that name."""
    (found,) = (path for place in ("conformance", ".") if (path := ROOT / "tests" / place / f"{name}.py").is_file())
    return found.read_text()


def test_the_page_has_a_word_on_every_fault_of_every_engine() -> None:
    assert set(told()) == {(engine, fault) for engine, shown in SHOWN.items() for fault in shown}


def test_the_page_names_the_files_whose_tests_show_it() -> None:
    named = {cell: set(NAMED.findall(text)) for cell, text in told().items()}
    assert named == {(engine, fault): set(files) for engine, shown in SHOWN.items() for fault, files in shown.items()}


def test_every_fault_but_those_that_cannot_be_is_shown() -> None:
    assert {
        (engine, fault) for engine, shown in SHOWN.items() for fault, files in shown.items() if not any(files.values())
    } == ONE_SERVER


def test_the_tests_that_show_it_are_there() -> None:
    wanted = {
        (file, test) for shown in SHOWN.values() for files in shown.values() for file in files for test in files[file]
    }
    assert [
        (file, test)
        for file, test in sorted(wanted)
        if not re.search(rf"^(async )?def test_{test}\(", text_of(file), re.M)
    ] == []
