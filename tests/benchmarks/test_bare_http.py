from __future__ import annotations

import os
import urllib.request

import pytest
from benchmarks.bare_http import bare_http


@pytest.mark.slow
def test_it_answers_whatever_is_asked_from_a_process_of_its_own() -> None:
    with bare_http() as (url, pid):
        for body in (b"one", b"two"):
            with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/kv/put_items", data=body)) as reply:
                assert (reply.status, b"idempotency_token" in reply.read()) == (200, True)
        assert pid != os.getpid()
