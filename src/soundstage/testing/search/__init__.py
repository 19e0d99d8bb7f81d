"""The conformance suite of the search port: what an engine must do to be one.

    class TestMyEngine(SearchSuite):
        capabilities = frozenset({SearchCapability.DURABLE})

        @pytest.fixture
        def open_search(self, tmp_path: Path) -> OpenIndexes:
            async def open_search() -> Search:
                engine = MyEngine(tmp_path)
                await engine.start()
                return engine

            return open_search

        @pytest.fixture
        def pass_time(self) -> PassTime:
            return asyncio.sleep

`capabilities` chooses the tests; an engine is held to all that it announces. The engine may hold what others put there:
the suite has names of its own, and the indexes `films`, which it makes once and only reads, and `plain`, which it
empties. Needs the extra `soundstage[testing]`.
"""

from __future__ import annotations

from soundstage.core.extras import library

for _name in ("pytest", "pytest_asyncio"):
    library(_name, "testing")

from soundstage.testing.search.bench import OpenIndexes, PassTime  # noqa: E402
from soundstage.testing.search.suite import SearchSuite  # noqa: E402

__all__ = ["OpenIndexes", "PassTime", "SearchSuite"]
