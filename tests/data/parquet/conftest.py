"""Files of other programs."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def written(columns: dict[str, Any], **given: Any) -> bytes:
    """A file of Parquet as another program writes it."""
    sink = BytesIO()
    pq.write_table(pa.table(columns), sink, **given)
    return sink.getvalue()
