"""As much of Cassandra's protocol as it takes to ask a node how it sees its ring.

Version 4 of the native protocol: https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec
Only columns of simple types can be read. Drivers are for engines; this is for a server that is starting.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self, TypeAlias

Row: TypeAlias = list[bytes | None]

TIMEOUT_S = 2.0
FRAME_BYTES_MAX = 1 << 20
USER = b"\0cassandra\0cassandra"

_STARTUP, _READY, _AUTHENTICATE, _QUERY, _RESULT, _AUTH_RESPONSE, _AUTH_SUCCESS = 1, 2, 3, 7, 8, 15, 16
_CONSISTENCY_ONE = 1
_ROWS = 2
_GLOBAL_SPEC = 1


class Session:
    """A connection that has said hello, and logged in as the first superuser where it was asked to.

    Raises `OSError` when nothing answers in time, or something else than was asked for.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        try:
            self._greet()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def query(self, statement: str) -> list[Row]:
        """The rows of a statement's answer: each a list of its columns' bytes."""
        text = statement.encode()
        body = struct.pack(">i", len(text)) + text + struct.pack(">HB", _CONSISTENCY_ONE, 0)
        return rows(self._ask(_QUERY, body, _RESULT)[1])

    def _greet(self) -> None:
        words = [word.encode() for word in ("CQL_VERSION", "3.0.0")]
        body = struct.pack(">H", 1) + b"".join(struct.pack(">H", len(word)) + word for word in words)
        answer, _ = self._ask(_STARTUP, body, _READY, _AUTHENTICATE)
        if answer == _AUTHENTICATE:
            self._ask(_AUTH_RESPONSE, struct.pack(">i", len(USER)) + USER, _AUTH_SUCCESS)

    def _ask(self, opcode: int, body: bytes, *expected: int) -> tuple[int, bytes]:
        self._socket.sendall(struct.pack(">BBhBi", 4, 0, 0, opcode, len(body)) + body)
        _, _, _, answer, length = struct.unpack(">BBhBi", self._read(9))
        if not 0 <= length <= FRAME_BYTES_MAX:
            raise ConnectionError(f"an answer of {length} bytes is no answer to what was asked")
        content = self._read(length)
        if answer not in expected:
            raise ConnectionError(f"the node answered with opcode {answer}: {content[:200]!r}")
        return answer, content

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                raise ConnectionError("the node closed the connection")
            parts += part
        return bytes(parts)


def rows(result: bytes) -> list[Row]:
    """The rows in the body of a RESULT; none when it is of another kind."""
    reader = _Reader(result)
    if reader.integer() != _ROWS:
        return []
    flags, columns = reader.integer(), reader.integer()
    if flags & _GLOBAL_SPEC:
        reader.skip_texts(2)
    for _ in range(columns):
        reader.skip_texts(1 if flags & _GLOBAL_SPEC else 3)
        reader.take(2)
    return [[reader.value() for _ in range(columns)] for _ in range(reader.integer())]


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, size: int) -> bytes:
        self._at += size
        return self._content[self._at - size : self._at]

    def integer(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)

    def skip_texts(self, count: int) -> None:
        for _ in range(count):
            self.take(int.from_bytes(self.take(2), "big"))

    def value(self) -> bytes | None:
        size = self.integer()
        return None if size < 0 else self.take(size)
