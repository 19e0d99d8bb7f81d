"""The conformance suite of the records port: what an engine must do to be one.

    class TestMyEngine(RecordsSuite):
        capabilities = frozenset({Capability.CONDITIONAL})

        @pytest.fixture
        def open_engine(self, tmp_path: Path) -> OpenEngine:
            async def open_engine(environment: Environment, store: str = "store") -> Records:
                engine = MyEngine(tmp_path / store, environment)
                await engine.start()
                return engine

            return open_engine

`capabilities` chooses the tests; an engine is held to all that it announces. `Bench` is what the tests work
at, and good for an engine's own tests too. Needs the extra `soundstage[testing]`.
"""

from __future__ import annotations

from soundstage.core.extras import library

for _name in ("hypothesis", "pytest", "pytest_asyncio"):
    library(_name, "testing")

from soundstage.testing.records.bench import Bench, BenchEnvironment, OpenEngine  # noqa: E402
from soundstage.testing.records.requirements import requires  # noqa: E402
from soundstage.testing.records.suite import RecordsSuite  # noqa: E402

__all__ = ["Bench", "BenchEnvironment", "OpenEngine", "RecordsSuite", "requires"]
