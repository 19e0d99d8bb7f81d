"""The doors to the key-value store, as the catalogue names them."""

from __future__ import annotations

import pytest

from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import InvalidArgument
from soundstage.data.kv.doors import DOORS
from soundstage.data.kv.resp.config import RespConfig
from soundstage.runtime.stage import Stage


def test_the_catalogue_names_them() -> None:
    (kv,) = [system for system in SYSTEMS if system.name == "kv"]
    assert set(kv.doors) == set(DOORS)


def test_a_resp_door_needs_an_address_and_nothing_else() -> None:
    config = RespConfig(listen="127.0.0.1:6379")
    assert (config.namespace, config.databases, DOORS["resp"].scheme) == ("resp", {}, "redis")


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"max_request": "1KiB"}, "doors.resp.max_request"),
        ({"max_arguments": 1}, "doors.resp.max_arguments"),
        ({"cursor": 5}, "doors.resp.cursor"),
        ({"databases": {"1": 2}}, "doors.resp.databases"),
    ],
)
def test_what_a_key_cannot_be_is_refused(keys: dict[str, object], field: str) -> None:
    stage = Stage.open(config={"doors": {"resp": {"listen": "127.0.0.1:0", **keys}}}, data="memory:")
    with pytest.raises(InvalidArgument) as refused:
        stage.doors.declared()
    assert str(refused.value.field).startswith(field)
