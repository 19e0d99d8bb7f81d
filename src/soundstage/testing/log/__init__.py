"""The conformance suite of the log port: what an engine must do to be one.

    class TestMyLog(LogSuite):
        capabilities = frozenset({LogCapability.DURABLE})

        @pytest.fixture
        def open_log(self, tmp_path: Path) -> OpenLog:
            async def open_log(environment: Environment, store: str = "store") -> Log:
                engine = MyLog(tmp_path / store, environment)
                await engine.start()
                return engine

            return open_log

`capabilities` chooses the tests; an engine is held to all that it announces. `LogBench` is what the tests work at,
and good for an engine's own tests too. Needs the extra `soundstage[testing]`.
"""

from __future__ import annotations

from soundstage.core.extras import library

for _name in ("hypothesis", "pytest", "pytest_asyncio"):
    library(_name, "testing")

from soundstage.testing.log.bench import LogBench, OpenLog  # noqa: E402
from soundstage.testing.log.suite import LogSuite  # noqa: E402

__all__ = ["LogBench", "LogSuite", "OpenLog"]
