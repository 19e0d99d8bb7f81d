"""The synchronous connection: the asynchronous one, on an event loop of its own thread."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from soundstage.client.attuning import Statistics
from soundstage.client.connection import Connection, connect
from soundstage.client.settings import Settings
from soundstage.core.call import CallOptions
from soundstage.core.environment import Environment
from soundstage.core.loop_thread import LoopThread
from soundstage.core.operation import Operation, SyncFace, face_of
from soundstage.core.streaming import DownloadOperation, Reading, SyncReading, UploadOperation
from soundstage.core.transfers import Source, SyncFileAccess

F = TypeVar("F", bound=SyncFace)


class SyncConnection:
    """A stage reached over HTTP by code without an event loop; may be shared between threads."""

    def __init__(self, connection: Connection, thread: LoopThread) -> None:
        self._connection = connection
        self._thread = thread
        self._closed = False

    def __enter__(self) -> SyncConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        return self._connection.url

    @property
    def statistics(self) -> Statistics:
        """What the connection did of itself; see `Connection.statistics`."""
        return self._connection.statistics

    @property
    def files(self) -> SyncFileAccess:
        """The files of the stage; as `Connection.files`."""
        return SyncFileAccess(self._connection.files, self._thread.run, self._thread.iterate)

    def client(self, face: type[F], namespace: str = "") -> F:
        """A typed client of the system that `face` belongs to, bound to `namespace`."""
        return face_of(SyncFace, face)(self, namespace)

    def invoke_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        """The reply to `request`; see `Connection.invoke`."""
        return self._thread.run(self._connection.invoke(operation, request, options))

    def start_job_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        """The job that `request` starts; see `Stage.start_job`."""
        from soundstage.core.jobs import SyncStartedJob

        job = self._thread.run(self._connection.start_job(operation, request, options))
        return SyncStartedJob(job, self._thread.run, self._thread.iterate)

    def follow_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Generator[Any]:
        """The messages of a feed; see `Connection.follow`. Close it, or leave its loop, to stop."""
        return self._thread.iterate(self._connection.follow(operation, request, options))

    def upload_sync(
        self, operation: UploadOperation[..., Any], request: Any, source: Source, options: CallOptions
    ) -> Any:
        """The reply to `request` with the bytes of `source`; see `Connection.upload`."""
        return self._thread.run(self._connection.upload(operation, request, source, options))

    def download_sync(
        self, operation: DownloadOperation[..., Any], request: Any, options: CallOptions
    ) -> SyncReading[Any]:
        """What `request` names, to be opened by `with`; see `Connection.download`."""
        opening = self._connection.download(operation, request, options)
        return SyncReading(Reading(opening, request.start, request.end), self._thread.run, self._thread.iterate)

    def close(self) -> None:
        """Sockets and thread are gone; idempotent."""
        if not self._closed:
            self._closed = True
            self._thread.run(self._connection.close())
            self._thread.close()


def connect_sync(
    url: str,
    *,
    token: str | None = None,
    settings: Settings | None = None,
    environment: Environment | None = None,
) -> SyncConnection:
    """A synchronous connection to the stage at `url`; no byte is sent until the first call."""
    chosen = settings or Settings()
    if token is not None:
        chosen = msgspec.structs.replace(chosen, token=token)
    connection = connect(url, settings=chosen, environment=environment)
    return SyncConnection(connection, LoopThread("soundstage-client"))
