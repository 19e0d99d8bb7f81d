"""Passwords in environment variables, as a stage file names them, before real servers that ask for them."""

from __future__ import annotations

import msgspec
import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.trial import try_engine

VARIABLE = "SUITE_PASSWORD"
WRONG = "guesswork"


async def let_in_by_variable(monkeypatch: pytest.MonkeyPatch, config: EngineConfig, right: str) -> None:
    """With the `right` password in its variable the engine does all there is, with another or none it is refused."""
    assert await tried(monkeypatch, config, right) == ("", "")
    await turned_away_by_variable(monkeypatch, config)


async def turned_away_by_variable(monkeypatch: pytest.MonkeyPatch, config: EngineConfig) -> None:
    """With a wrong password in its variable, or none, the engine is not let in, and says what to see to."""
    code, problem = await tried(monkeypatch, config, WRONG)
    assert (code, "password_env" in problem, WRONG in problem) == ("unauthenticated", True, False)
    code, problem = await tried(monkeypatch, config, None)
    assert (code, VARIABLE in problem) == ("unauthenticated", True)


async def tried(monkeypatch: pytest.MonkeyPatch, config: EngineConfig, password: str | None) -> tuple[str, str]:
    """The code and the words of what comes of the engine's one port with that password in its variable, or without."""
    if password is None:
        monkeypatch.delenv(VARIABLE, raising=False)
    else:
        monkeypatch.setenv(VARIABLE, password)
    named = msgspec.structs.replace(config, password_env=VARIABLE)
    (trial,) = await try_engine(named, "/nowhere", SystemEnvironment(), rounds=1)
    return trial.code, trial.problem
