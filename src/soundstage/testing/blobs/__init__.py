"""What every engine of the blobs port must do: subclass `BlobsSuite` with a fixture `blobs` and run pytest."""

from __future__ import annotations

from soundstage.testing.blobs.disk import diskless
from soundstage.testing.blobs.suite import BlobsSuite

__all__ = ["BlobsSuite", "diskless"]
