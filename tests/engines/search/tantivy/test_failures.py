"""No error of the driver's leaves the engine."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import tantivy

from soundstage.core.errors import DataLoss, Internal, NotFound, SoundstageError, TooLarge, Unavailable
from soundstage.engines.search.tantivy.failures import meaning, translated

FOLDER = Path("/indexes")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("Aborting aggregation because bucket limit was exceeded. Limit: 65000"), TooLarge),
        (ValueError("An IO error occurred: 'No space left on device (os error 28)'"), Unavailable),
        (ValueError("Failed to acquire Lockfile: LockBusy"), Unavailable),
        (ValueError("An error occurred in a thread: Index writer was killed"), Unavailable),
        (ValueError("Data corrupted: 'Data corruption (in file `meta.json`)'"), DataLoss),
        (ValueError("Failed to open file for read: 'FileDoesNotExist(\"a.term\")'"), DataLoss),
        (OSError(errno.ENOSPC, "No space left on device"), Unavailable),
        (MemoryError(), Unavailable),
        (ValueError("something that nobody foresaw"), Internal),
        (TypeError(), Internal),
    ],
)
def test_every_error_means_one_of_ours(error: Exception, expected: type[SoundstageError]) -> None:
    found = meaning(FOLDER, error)
    assert type(found) is expected
    assert found.hint


def test_what_is_ours_passes() -> None:
    def call() -> None:
        raise NotFound("no")

    with pytest.raises(NotFound):
        translated(FOLDER, call)


def test_what_ends_the_program_passes() -> None:
    def call() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        translated(FOLDER, call)


def test_a_panic_of_the_library_is_an_error_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    schema = tantivy.SchemaBuilder().add_text_field("a").build()
    with pytest.raises(Internal, match="phrase"):
        translated(FOLDER, tantivy.Query.phrase_query, schema, "a", ["one"])
    capfd.readouterr()


def test_what_a_call_returns_is_returned() -> None:
    assert translated(FOLDER, int, "7") == 7
