from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from soundstage.core.call import LOCAL, Principal
from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import (
    AlreadyExists,
    Exhausted,
    Forbidden,
    InvalidArgument,
    NotFound,
    SoundstageError,
    TooLarge,
)
from soundstage.core.files import File
from soundstage.core.size import Size
from soundstage.core.time import Duration
from soundstage.engines.blobs.memory import MemoryBlobs
from soundstage.runtime.config import FilesConfig
from soundstage.runtime.files import Files, check_blob, check_media_type, check_name
from soundstage.runtime.stage import Stage

ADA = Principal("ada", {"team": ("write",)}, "id of ada")
BOB = Principal("bob", {"team": ("read",)}, "id of bob")
CLERK = Principal("clerk", {"blobs": ("write",)}, "id of clerk")
EVE = Principal("eve", {"other": ("read",)}, "id of eve")
ID = "0190a8c0-0000-7000-8000-00000000000a"


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content[:2]
    yield content[2:]


async def read(files: Files, blob: str, by: Principal, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in files.read(blob, by, start, end)])


async def refused(attempt: object) -> type[SoundstageError]:
    try:
        await attempt  # type: ignore[misc]
    except SoundstageError as error:
        return type(error)
    raise AssertionError


@pytest.fixture
async def files(environment: VirtualEnvironment) -> Files:
    blobs = MemoryBlobs(environment)
    await blobs.start()
    return Files(blobs, FilesConfig(size_max=Size(100), quota=Size(250)), environment)


async def test_a_file_is_read_as_it_was_sent(files: Files) -> None:
    file = await files.put(chunks(b"hello"), ADA, name="a.txt", media_type="text/plain")
    assert await read(files, file.blob, ADA) == b"hello"
    assert await read(files, file.blob, ADA, 1, 3) == b"el"
    assert file == File(
        blob=file.blob,
        name="a.txt",
        media_type="text/plain",
        size=5,
        sha256=hashlib.sha256(b"hello").hexdigest(),
    )


async def test_an_id_of_the_senders_own_is_taken_once(files: Files) -> None:
    assert (await files.put(chunks(b"hello"), ADA, blob=ID)).blob == ID
    assert await refused(files.put(chunks(b"hello"), ADA, blob=ID)) is AlreadyExists


async def test_who_may_read_and_delete(files: Files) -> None:
    file = await files.put(chunks(b"hello"), ADA, namespaces=["team"])
    assert await read(files, file.blob, BOB) == await read(files, file.blob, CLERK) == b"hello"
    assert await refused(read(files, file.blob, EVE)) is Forbidden
    assert await refused(files.delete(file.blob, BOB)) is Forbidden
    assert (await files.delete(file.blob, CLERK), await files.delete(file.blob, CLERK)) == (True, False)


@pytest.mark.parametrize(("pattern", "reaches"), [("blobs", True), ("*", True), ("b*", False), ("blobs*", False)])
async def test_all_files_are_reached_by_their_own_name_or_a_star_alone(
    files: Files, pattern: str, reaches: bool
) -> None:
    file = await files.put(chunks(b"hello"), ADA)
    mallory = Principal("mallory", {pattern: ("write",)}, "id of mallory")
    if reaches:
        assert await read(files, file.blob, mallory) == b"hello"
        assert await files.delete(file.blob, mallory)
    else:
        assert await refused(read(files, file.blob, mallory)) is Forbidden
        assert await refused(files.delete(file.blob, mallory)) is Forbidden


async def test_a_file_of_no_namespace_is_its_senders(files: Files) -> None:
    file = await files.put(chunks(b"hello"), ADA)
    assert await refused(read(files, file.blob, BOB)) is Forbidden
    assert await files.delete(file.blob, ADA)


@pytest.mark.parametrize("owner", [ADA, LOCAL, Principal("nobody", {"*": ("write",)})], ids=lambda by: by.name)
async def test_who_has_the_name_of_a_files_sender_is_another(files: Files, owner: Principal) -> None:
    file = await files.put(chunks(b"hello"), owner)
    for id in ("", "id of another"):
        namesake = Principal(owner.name, {"other": ("write",)}, id)
        assert await refused(files.find(file.blob, namesake)) is Forbidden
        assert await refused(files.delete(file.blob, namesake)) is Forbidden


async def test_who_may_write_nowhere_sends_nothing(files: Files) -> None:
    assert await refused(files.put(chunks(b"hello"), BOB)) is Forbidden


async def test_a_file_expires(files: Files, environment: VirtualEnvironment) -> None:
    kept = await files.put(chunks(b"hello"), ttl_us=Duration.parse("30d").us)
    file = await files.put(chunks(b"hello"))
    environment.advance(7 * 86_400)
    assert await refused(files.find(file.blob)) is NotFound
    assert (await files.find(kept.blob)).size == 5


async def test_bounds_hold(files: Files) -> None:
    assert await refused(files.put(chunks(b"x" * 101))) is TooLarge
    for _ in range(3):
        await files.put(chunks(b"x" * 80))
    assert await refused(files.put(chunks(b"x" * 11))) is Exhausted
    assert (await files.put(chunks(b"x" * 10))).size == 10


async def test_the_quota_is_that_of_all_processes_together(environment: VirtualEnvironment) -> None:
    blobs = MemoryBlobs(environment)
    await blobs.start()
    processes = [Files(blobs, FilesConfig(quota=Size(250)), environment) for _ in range(4)]
    gate = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 99
        await gate.wait()
        yield b"x"

    sending = [asyncio.ensure_future(files.put(slowly())) for files in processes]
    for _ in range(50):
        await asyncio.sleep(0)
    gate.set()
    made = await asyncio.gather(*sending, return_exceptions=True)
    assert [type(each) for each in made] == [File, File, Exhausted, Exhausted]
    assert (await blobs.usage()).bytes == 200


async def test_what_is_not_as_announced_is_refused(files: Files) -> None:
    assert await refused(files.put(chunks(b"hello"), size=4)) is InvalidArgument
    assert await refused(files.put(chunks(b"hello"), sha256="0" * 64)) is InvalidArgument


@pytest.mark.parametrize("blob", ["", "x", ID.upper(), ID + "0", ID[:-1], "../" + ID[3:], ID.replace("-", "_")])
def test_what_is_no_id_is_refused(blob: str) -> None:
    with pytest.raises(InvalidArgument):
        check_blob(blob)


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a\nb", "x" * 256, "\0"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(InvalidArgument):
        check_name(name)


@pytest.mark.parametrize("name", ["", "Größe 1.txt", "x" * 255])
def test_a_name_is_for_people(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "media_type", ["", "text", "/x", "text/", "text/plain\r\nx: y", "tëxt/plain", "a/" + "b" * 126]
)
def test_what_is_no_media_type_is_refused(media_type: str) -> None:
    with pytest.raises(InvalidArgument):
        check_media_type(media_type)


async def test_a_stage_keeps_files_and_sweeps_expired_ones(environment: VirtualEnvironment) -> None:
    async with Stage.open(data="memory:", environment=environment) as stage:
        await stage.files.put(chunks(b"hello"))
        blobs = stage.engines.blobs("blobs", "files.engine")
        environment.advance(8 * 86_400)
        await stage.run_background()
        assert (await blobs.usage()).blobs == 0
