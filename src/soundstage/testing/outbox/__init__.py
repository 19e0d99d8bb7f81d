"""The conformance suite of code that writes to the log first, over a pair of engines: of records, and of the log.

    class TestMyPair(OutboxSuite):
        @pytest.fixture
        def open_pair(self, tmp_path: Path) -> OpenPair:
            async def open_pair(environment: Environment) -> Pair:
                pair = Pair(MyRecords(tmp_path / "records", environment), MyLog(tmp_path / "log", environment))
                await pair.start()
                return pair

            return open_pair

An intent is appended, applied idempotently under its token, and the position committed after that: so portable code
writes to two stores (`docs/log-port.md`). Whatever breaks off in between, and whoever does it again, each intent that
was acknowledged has its effect, and has it once. Needs the extra `soundstage[testing]`.
"""

from __future__ import annotations

from soundstage.core.extras import library

for _name in ("pytest", "pytest_asyncio"):
    library(_name, "testing")

from soundstage.testing.outbox.bench import Applier, OpenPair, Outbox, Pair  # noqa: E402
from soundstage.testing.outbox.suite import OutboxSuite  # noqa: E402

__all__ = ["Applier", "OpenPair", "Outbox", "OutboxSuite", "Pair"]
