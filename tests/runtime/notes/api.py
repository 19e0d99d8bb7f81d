# pyright: reportReturnType=false
from __future__ import annotations

import msgspec

from soundstage.core.errors import NotFound
from soundstage.core.message import IdempotencyToken
from soundstage.core.operation import AsyncFace, SyncFace, operation


class WriteNote(msgspec.Struct, kw_only=True):
    namespace: str = ""
    name: str
    text: str
    idempotency_token: IdempotencyToken | None = None


class WriteNoteReply(msgspec.Struct, kw_only=True):
    written: int


class ReadNote(msgspec.Struct, kw_only=True):
    namespace: str = ""
    name: str


class ReadNoteReply(msgspec.Struct, kw_only=True):
    text: str


class Disturb(msgspec.Struct, kw_only=True):
    how: str


class DisturbReply(msgspec.Struct, kw_only=True):
    count: int


class NotesCalls:
    """Notes."""

    system = "notes"

    @operation(WriteNote, access="write", idempotent=True, errors=(NotFound,))
    def write(self) -> WriteNoteReply:
        """The note is stored."""

    @operation(ReadNote, access="read", idempotent=True, errors=(NotFound,))
    def read(self) -> ReadNoteReply:
        """The note."""

    @operation(Disturb, access="admin", prompt=True)
    def disturb(self) -> DisturbReply:
        """Whatever `how` says goes wrong."""


class Notes(AsyncFace, NotesCalls):
    """Notes, asynchronous."""


class SyncNotes(SyncFace, NotesCalls):
    """Notes, synchronous."""


CALLS = NotesCalls
