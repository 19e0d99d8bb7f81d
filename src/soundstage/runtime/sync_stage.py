"""A stage for programs without an event loop: the asynchronous one on a loop in a thread of its own."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from soundstage.core.call import CallOptions
from soundstage.core.loop_thread import LoopThread
from soundstage.core.operation import Operation, SyncFace, face_of
from soundstage.core.streaming import DownloadOperation, Reading, SyncReading, UploadOperation
from soundstage.core.transfers import Source, SyncFileAccess
from soundstage.runtime.doors import DoorInfo
from soundstage.runtime.health import Health

if TYPE_CHECKING:
    from soundstage.runtime.config import StageConfig
    from soundstage.runtime.stage import Stage

F = TypeVar("F", bound=SyncFace)


class SyncStage:
    """A running stage; `close` it, or use it in a `with` statement. Safe to share between threads."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.config: StageConfig = stage.config
        self._thread = LoopThread("soundstage")
        try:
            self._thread.run(stage.start())
        except BaseException:
            self._thread.close()
            raise
        self._open = True

    @property
    def files(self) -> SyncFileAccess:
        """The files that callers sent and jobs left; as `Stage.files`."""
        return SyncFileAccess(self.stage.files, self._thread.run, self._thread.iterate)

    def client(self, face: type[F], namespace: str = "") -> F:
        """A typed synchronous client; its calls go to `namespace` unless they name another."""
        return face_of(SyncFace, face)(self, namespace)

    def invoke_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        """The reply to `request`, as the owner of the process."""
        return self._thread.run(self.stage.invoke(operation, request, options))

    def start_job_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        """The job that `request` starts; see `Stage.start_job`."""
        from soundstage.core.jobs import SyncStartedJob

        job = self._thread.run(self.stage.start_job(operation, request, options))
        return SyncStartedJob(job, self._thread.run, self._thread.iterate)

    def follow_sync(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Generator[Any]:
        """The messages of a feed; see `Stage.follow`. Close it, or leave its loop, to stop."""
        return self._thread.iterate(self.stage.follow(operation, request, options))

    def upload_sync(
        self, operation: UploadOperation[..., Any], request: Any, source: Source, options: CallOptions
    ) -> Any:
        """The reply to `request` with the bytes of `source`; see `Stage.upload`."""
        return self._thread.run(self.stage.upload(operation, request, source, options))

    def download_sync(
        self, operation: DownloadOperation[..., Any], request: Any, options: CallOptions
    ) -> SyncReading[Any]:
        """What `request` names, to be opened by `with`; see `Stage.download`."""
        opening = self.stage.download(operation, request, options)
        return SyncReading(Reading(opening, request.start, request.end), self._thread.run, self._thread.iterate)

    def open_doors(self) -> list[DoorInfo]:
        """As `Stage.open_doors`."""
        return self._thread.run(self.stage.open_doors())

    def health(self) -> Health:
        """As `Stage.health`."""
        return self.stage.health()

    def metrics_text(self) -> bytes:
        """As `Stage.metrics_text`."""
        return self.stage.metrics_text()

    def close(self) -> None:
        """Calls under way have ended, or the time to drain has; everything is closed. Idempotent."""
        if self._open:
            self._open = False
            self._thread.run(self.stage.stop())
            self._thread.close()

    def __enter__(self) -> SyncStage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
