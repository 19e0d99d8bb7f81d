from __future__ import annotations

import os

import msgspec
import pytest

from soundstage.runtime.config import EngineConfig, StageConfig
from soundstage.runtime.folders import without_paths

CONFIG = StageConfig(
    data="/srv/stage",
    engines={
        "default": EngineConfig(url="rocksdb:records"),
        "far": EngineConfig(url="file:///mnt/far"),
        "scratch": EngineConfig(url="memory:"),
    },
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/srv/stage/records is full", "the folder of the engine 'default' is full"),
        ("a block of /srv/stage/records/1.sst", "a block of the folder of the engine 'default'/1.sst"),
        ("/srv/stage cannot be read", "the data folder cannot be read"),
        ("/mnt/far and /srv/stage", "the folder of the engine 'far' and the data folder"),
        ("nothing is wrong in /srv", "nothing is wrong in /srv"),
    ],
)
def test_folders_are_called_by_what_they_are_for(text: str, told: str) -> None:
    assert without_paths(text, CONFIG) == told


def test_a_relative_folder_is_found_by_its_whole_path() -> None:
    config = msgspec.structs.replace(CONFIG, data="stage-data")
    assert without_paths(f"{os.getcwd()}/stage-data is full", config) == "the data folder is full"
