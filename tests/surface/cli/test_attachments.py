"""Files in messages of the command line, on a stage in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.core.files import File
from soundstage.core.job import JobInfo, job
from soundstage.core.operation import operation
from soundstage.runtime.jobs.api import JobsCalls
from soundstage.runtime.stage import Stage
from soundstage.surface.cli.attachments import fetched, files_in, has_files, read_attachment, sent
from soundstage.surface.cli.flags import flags_of
from soundstage.surface.cli.request import assemble

ID = "01a217f9-a4fd-7a4f-b236-aa33a9622cb6"
HELLO = b"hello world"


class Page(msgspec.Struct):
    text: str = ""
    picture: File | None = None
    next: Page | None = None


class Book(msgspec.Struct):
    """A message with files in every place where there may be some."""

    cover: File
    pages: list[Page] = []
    extras: list[File] = []
    by_name: dict[str, File] = {}


class Plain(msgspec.Struct):
    text: str = ""


class BookCalls:
    system = "books"

    @operation(Plain, access="read")
    def read(self) -> Book: ...  # type: ignore[empty-body]

    @operation(Plain, access="read")
    def page(self) -> Page: ...  # type: ignore[empty-body]

    @operation(Book, access="read")
    def plain(self) -> Plain: ...  # type: ignore[empty-body]

    @job(Plain, access="read", restart="fail")
    def later(self) -> Plain: ...  # type: ignore[empty-body]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage.open(data="memory:") as stage:
        yield stage


def written(name: str, content: bytes = HELLO) -> str:
    Path(name).write_bytes(content)
    return name


def contents(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def book(**given: Any) -> Any:
    """The message that flags make, by their names without dashes."""
    return assemble(Book, flags_of(Book), {f"--{name}": value for name, value in given.items()}, {})


async def test_a_path_in_a_flag_is_sent(stage: Stage) -> None:
    message = await sent(book(cover=written("a.txt")), stage.files)
    assert message.cover == await stage.files.info(message.cover)
    assert (message.cover.name, message.cover.size) == ("a.txt", 11)


async def test_every_path_of_a_list_is_sent(stage: Stage) -> None:
    message = book(cover=ID, extra=[written("a.txt"), ID, written("b.txt")])
    assert [file.name for file in (await sent(message, stage.files)).extras] == ["a.txt", "", "b.txt"]


async def test_the_id_of_a_file_stays_as_it_is(stage: Stage) -> None:
    message = book(cover=ID)
    assert await sent(message, stage.files) == message == Book(cover=File(blob=ID))


async def test_files_deep_in_a_message_are_sent(stage: Stage) -> None:
    marked = File(blob=read_attachment(written("a.txt"))["blob"])
    message = Book(cover=File(blob=ID), pages=[Page(next=Page(picture=marked))], by_name={"x": marked})
    done = await sent(message, stage.files)
    assert [file.name for file in files_in(done)] == ["", "a.txt", "a.txt"]


async def test_what_only_looks_like_a_path_is_not_read(stage: Stage) -> None:
    written("secret.txt")
    message = Book(cover=File(blob="path:secret.txt"))
    with pytest.raises(InvalidArgument, match="no id of a file"):
        await stage.files.info((await sent(message, stage.files)).cover)


def test_what_is_neither_a_path_nor_an_id_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="there is no file 'none'"):
        read_attachment("none")


def test_a_folder_is_told_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is a folder"):
        read_attachment(str(tmp_path))


async def test_a_message_without_files_is_the_same_object(stage: Stage) -> None:
    message = Plain("x")
    assert await sent(message, stage.files) is message


async def test_every_file_of_a_reply_is_fetched_once(stage: Stage) -> None:
    one, two = await stage.files.upload(b"one", name="a.txt"), await stage.files.upload(b"two", name="a.txt")
    await fetched([Book(cover=one, extras=[two, one]), Page(picture=one)], stage.files, "deep/out")
    assert contents("deep/out") == {"a.txt": b"one", f"a-{two.blob[-12:]}.txt": b"two"}


async def test_what_is_there_under_any_name_is_not_written_over(stage: Stage) -> None:
    file = await stage.files.upload(HELLO, name="a.txt")
    for _ in range(3):
        await fetched([file], stage.files, "out")
    beside = f"a-{file.blob[-12:]}"
    assert contents("out") == {"a.txt": HELLO, f"{beside}.txt": HELLO, f"{beside}-2.txt": HELLO}


async def test_a_name_does_not_lead_out_of_the_folder(stage: Stage) -> None:
    file = await stage.files.upload(HELLO, name="..")
    await fetched([file], stage.files, "out")
    assert contents("out") == {file.blob: HELLO}


@pytest.mark.parametrize(
    ("declared", "has"),
    [
        (BookCalls.read, True),
        (BookCalls.page, True),
        (BookCalls.plain, False),
        (BookCalls.later, True),
        (JobsCalls.result, True),
        (JobsCalls.cancel, True),
    ],
)
def test_whether_a_reply_may_name_files_is_known_by_its_type(declared: Any, has: bool) -> None:
    assert has_files(declared) is has


@pytest.mark.parametrize("made", [lambda: JobInfo, lambda: Book])
def test_a_flag_for_a_file_takes_a_path(made: Callable[[], type[Any]]) -> None:
    flags = {flag.names[0]: flag.metavar for flag in flags_of(made())}
    assert flags.get("--cover", "PATH") == flags.get("--file", "PATH") == "PATH"
