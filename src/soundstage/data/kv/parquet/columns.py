"""The columns of a file as items: which there are, of what types, and what every row must have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from soundstage.core import version
from soundstage.core.compression import CODECS
from soundstage.core.dictionaries import needs_dictionary
from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.core.limits import ID_MAX_BYTES, KEY_MAX_BYTES, TTL_MAX
from soundstage.data.kv.items import coded_metadata
from soundstage.data.kv.large_values import WHOLE_MAX_BYTES
from soundstage.data.kv.parquet.rows import schema
from soundstage.data.parquet.columns import bad_row, check_bytes, check_time, is_text, plain

NEEDED = ("id", "key", "value")
OPTIONAL = ("expires_at", "codec")
VERSION = ("token", "time")


class Entry(NamedTuple):
    """A row as an item: its cell has all but the version where that is made here."""

    partition: bytes
    key: bytes
    value: bytes
    metadata: bytes
    expires_us: int
    time_us: int
    token: str


class Bounds(NamedTuple):
    """What a row may be: `latest_us` is the latest time of a write; `value_max` what a value has at most.

    `dictionaries` are the codecs that it may have besides those that stand by themselves.
    """

    latest_us: int
    value_max: int = WHOLE_MAX_BYTES
    dictionaries: frozenset[str] = frozenset()


def chosen(found: Any, *, keep: bool) -> list[str]:
    """The columns to read of a file that has the schema `found`. Raises `InvalidArgument`, naming the column.

    To `keep` versions takes a file whose columns are those of ours.
    """
    names = list(found.names)
    if keep:
        _check_ours(found)
        return [name for name in names if name != "size"]
    lacking = [name for name in NEEDED if name not in names]
    strange = [name for name in names if name not in schema().names]
    if lacking or strange or len(set(names)) != len(names):
        said = f"lacks the column {lacking[0]!r}" if lacking else f"has a column that no item has: {strange or names}"
        raise InvalidArgument(
            f"the file {said}"[:300],
            field="file",
            hint="give it id, key and value, and perhaps expires_at and codec; SELECT user_id AS id, … names them so",
        )
    columns = [*NEEDED, *(name for name in OPTIONAL if name in names)]
    for name in columns:
        _check_type(name, found.field(name).type)
    return columns


def entries(batch: Any, first: int, bounds: Bounds, *, keep: bool) -> Iterator[Entry]:
    """The rows of a batch, whose first has the number `first`. Raises for one that is no item, naming row and column.

    For a thread.
    """
    columns: dict[str, list[Any]] = {name: plain(name, batch.column(name)) for name in batch.schema.names}
    nothing: list[Any] = [None] * batch.num_rows
    tokens, times = (columns[name] if keep else nothing for name in VERSION)
    ids, keys, values = (columns[name] for name in NEEDED)
    expiries, codecs = (columns.get(name, nothing) for name in OPTIONAL)
    rows = zip(ids, keys, values, expiries, codecs, tokens, times, strict=True)
    for number, (name, key, value, expires_us, codec, token, time_us) in enumerate(rows, first):
        _check_item(number, name, key, value, bounds)
        if keep:
            _check_version(number, token, time_us, bounds.latest_us)
        if expires_us is not None:
            _check_expiry(number, expires_us, time_us if keep else bounds.latest_us)
        metadata = b"" if codec is None else coded_metadata(_codec(number, codec, bounds.dictionaries))
        text = token.decode() if keep else ""
        yield Entry(name, key, value, metadata, expires_us or 0, time_us or 0, text)


def cell_of(entry: Entry) -> bytes:
    """The entry as it is stored."""
    return version.put(entry.time_us, entry.token, entry.value, entry.expires_us, entry.metadata)


def _check_ours(found: Any) -> None:
    wanted = schema()
    for name in wanted.names:
        if name not in found.names or found.field(name).type != wanted.field(name).type:
            raise InvalidArgument(
                f"the column {name!r} is not as an export leaves it",
                field="file",
                hint="import the file as it was exported, or with `versions` new",
            )
    if len(found.names) != len(wanted.names):
        raise InvalidArgument("the file has columns that no export makes", field="file", hint="give `versions` new")


def _check_type(name: str, found: Any) -> None:
    if name == "expires_at":
        check_time(name, found)
    else:
        check_bytes(name, found, numbers=name != "codec")


def _check_item(number: int, name: bytes | None, key: bytes | None, value: bytes | None, bounds: Bounds) -> None:
    if name is None or not 1 <= len(name) <= ID_MAX_BYTES or not is_text(name):
        raise bad_row(number, "id", name, f"is no text of 1 to {ID_MAX_BYTES} bytes")
    if key is None or len(key) > KEY_MAX_BYTES:
        raise bad_row(number, "key", key, f"is no key of up to {KEY_MAX_BYTES} bytes")
    if value is None:
        raise bad_row(number, "value", value, "is no value")
    if len(value) > bounds.value_max:
        raise TooLarge(
            f"row {number} of the file, column 'value': {len(value)} bytes, and {bounds.value_max} may be put here",
            field="file",
            hint="put it by put_value, and leave it out of the file",
        )


def _check_version(number: int, token: bytes | None, time_us: int | None, latest_us: int) -> None:
    if token is None or not 1 <= len(token) <= version.TOKEN_MAX_BYTES or b"\0" in token or not is_text(token):
        raise bad_row(number, "token", token, "is no token of a write")
    if time_us is None or not 0 < time_us <= latest_us:
        raise bad_row(number, "time", time_us, "is no time of a write that may have been made by now")


def _check_expiry(number: int, expires_us: int, time_us: int) -> None:
    if not 0 < expires_us <= time_us + TTL_MAX.us:
        raise bad_row(number, "expires_at", expires_us, "is no time within ten years")


def _codec(number: int, codec: bytes, dictionaries: frozenset[str]) -> str:
    found = codec.decode(errors="replace")
    if found in CODECS or found in dictionaries:
        return found
    if needs_dictionary(found):
        raise bad_row(number, "codec", codec, "needs a dictionary that neither the file has nor the namespace")
    raise bad_row(number, "codec", codec, f"is no codec; they are {', '.join(CODECS)}")
