"""Tables on Apache Iceberg: rows in Parquet files of a folder; a catalogue in SQLite or PostgreSQL says which count.

    tables = IcebergTables(embedded_address("tables", folder, {}), environment)

In the folder of an embedded one: `catalogue.db`, and `warehouse/` with a folder for each table.
"""

from __future__ import annotations

from soundstage.engines.tables.iceberg.engine import IcebergTables
from soundstage.engines.tables.iceberg.options import Address, IcebergOptions, embedded_address, shared_address

__all__ = ["Address", "IcebergOptions", "IcebergTables", "embedded_address", "shared_address"]
