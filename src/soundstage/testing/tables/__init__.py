"""What every engine of the tables port must do: subclass `TablesSuite` with a fixture `tables` and run pytest."""

from __future__ import annotations

from soundstage.testing.tables.suite.branches import BranchingTablesSuite
from soundstage.testing.tables.suite.main import TablesSuite

__all__ = ["BranchingTablesSuite", "TablesSuite"]
