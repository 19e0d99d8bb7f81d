"""What engines of the log say when they refuse a call, alike on every engine."""

from __future__ import annotations

from soundstage.core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    Exhausted,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    TokenReused,
    TooLarge,
    Unavailable,
)
from soundstage.engines.log.port import (
    CALL_MAX_BYTES,
    CALL_MAX_ENTRIES,
    ENTRY_MAX_BYTES,
    GROUPS_MAX,
    MEMBERS_MAX,
    TOPICS_MAX,
    Position,
    TopicSpec,
)

FIXED_SETTINGS = ("partitions", "compact")


def stopped() -> Unavailable:
    return Unavailable(
        "the engine is stopped", hint="ask the process that runs now", outcome="not_applied", retryable=False
    )


def deadline_passed() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed before the write", hint="allow more time", outcome="not_applied")


def no_topic(name: str) -> NotFound:
    return NotFound(f"there is no topic {name!r}", hint="create it first")


def dropped(name: str) -> Unavailable:
    return Unavailable(f"the topic {name!r} was dropped during the call", retryable=False, outcome="not_applied")


def too_many_topics() -> Exhausted:
    return Exhausted(f"there are {TOPICS_MAX} topics, which is the limit", hint="drop some, or use another engine")


def no_partition(spec: TopicSpec, partition: int) -> InvalidArgument:
    return InvalidArgument(
        f"the topic {spec.name!r} has no partition {partition}",
        field="partition",
        hint=f"its partitions are 0 to {spec.partitions - 1}",
    )


def after_the_end(topic: str, partition: int, offset: int, end: int) -> InvalidArgument:
    return InvalidArgument(
        f"the partition {partition} of {topic!r} ends at {end}, before the offset {offset}",
        field="offset",
        hint="read from the end or from before it; a topic that was dropped and made again begins at 0",
    )


def check_fixed_settings(known: TopicSpec, asked: TopicSpec) -> None:
    """Raises `AlreadyExists` when a topic would have to change what is fixed at its creation."""
    for field in FIXED_SETTINGS:
        if getattr(known, field) != getattr(asked, field):
            raise AlreadyExists(
                f"the topic {known.name} exists with another value of {field}: {getattr(known, field)}",
                field=field,
                hint="copy it into a topic with the other setting",
            )


def too_many_entries(count: int) -> TooLarge:
    return TooLarge(
        f"{count} entries in one call, the limit is {CALL_MAX_ENTRIES}", field="entries", hint="use several calls"
    )


def call_too_large(size: int) -> TooLarge:
    return TooLarge(
        f"the entries have {size} bytes together, the limit is {CALL_MAX_BYTES}",
        field="entries",
        hint="use several calls",
    )


def entry_too_large(index: int, size: int) -> TooLarge:
    return TooLarge(
        f"entry {index} has {size} bytes, the limit is {ENTRY_MAX_BYTES}",
        field=f"entries[{index}]",
        hint="put what is large into a blob, and its key into the entry",
    )


def token_reused(token: str) -> TokenReused:
    return TokenReused(f"the token {token!r} named other entries", hint="use a token of its own")


def appended_twice(topic: str, partition: int) -> InvalidArgument:
    return InvalidArgument(
        f"the partition {partition} of {topic!r} is appended to twice", field="appends", hint="merge the appends"
    )


def no_records_beside() -> InvalidArgument:
    return InvalidArgument(
        "this log shares its folder with no records",
        hint="use the log of an engine that holds both, such as rocksdb:records, and ask its capabilities",
    )


def fenced(group: str, why: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"the positions are not those of the group {group!r}: {why}",
        field="generation",
        hint="join again and go on from the group's positions; what was applied since is applied again",
    )


def in_use(group: str) -> PreconditionFailed:
    return PreconditionFailed(f"the group {group!r} has members", field="group", hint="let them leave first")


def too_many_groups() -> Exhausted:
    return Exhausted(f"there are {GROUPS_MAX} groups, which is the limit", hint="forget those that are not used")


def too_many_members(group: str) -> Exhausted:
    return Exhausted(f"the group {group!r} has {MEMBERS_MAX} members, which is the limit", hint="use fewer")


def check_position(at: Position, end: int) -> None:
    """Raises `InvalidArgument` for a position that nobody can have got to."""
    if not 0 <= at.offset <= end:
        raise after_the_end(at.topic, at.partition, at.offset, end)
