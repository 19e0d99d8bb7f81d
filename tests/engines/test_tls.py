"""Files of TLS that cannot be used are told, and nobody is asked for anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from soundstage.core.errors import InvalidArgument
from soundstage.engines.tls import client_context


def test_a_key_that_wants_a_password_is_told_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("ali@example.org")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    closed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"opensesame"))
    (tmp_path / "client.key").write_bytes(closed)
    with pytest.raises(InvalidArgument, match="cannot be used"):
        client_context(None, str(tmp_path / "client.pem"), str(tmp_path / "client.key"), names=True)


def test_a_file_that_is_not_there_is_told_by_its_name_and_its_option(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"none\.key of TLS") as refused:
        client_context(None, None, str(tmp_path / "none.key"), names=True)
    assert refused.value.field == "tls_key"
