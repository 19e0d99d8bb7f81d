from __future__ import annotations

import ssl

import pytest

from soundstage.client.handshake import refusal, silence

URL = "https://stage.test:7777"


def failed(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] told by OpenSSL (_ssl.c:1)")
    error.reason = reason
    return error


def unverified(code: int, message: str = "some words") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def within(error: Exception) -> Exception:
    """As a library hands it on."""
    outer = RuntimeError("connecting")
    outer.__cause__ = OSError("handshake")
    outer.__cause__.__context__ = error
    return outer


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (18, "its certificate is of an authority that is not trusted here (some words)"),
        (19, "its certificate is of an authority that is not trusted here (some words)"),
        (20, "its certificate is of an authority that is not trusted here (some words)"),
        (62, "its certificate is for another name than stage.test"),
        (64, "its certificate is for another name than stage.test"),
        (10, "its certificate has expired"),
        (9, "its certificate is not valid yet"),
        (23, "its certificate cannot be trusted (some words)"),
    ],
)
def test_a_certificate_that_is_not_taken_is_told_why(code: int, reason: str) -> None:
    told = refusal(within(unverified(code)), URL, sent=False)
    assert told is not None
    assert told.reason == reason
    assert told.hint


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize(
    ("alert", "reason"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "it wants to see a certificate, and none was shown"),
        ("TLSV1_ALERT_UNKNOWN_CA", "it refuses the certificate that was shown (tlsv1 alert unknown ca)"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "it refuses the certificate that was shown (sslv3 alert bad certificate)"),
        (
            "SSLV3_ALERT_CERTIFICATE_EXPIRED",
            "it refuses the certificate that was shown (sslv3 alert certificate expired)",
        ),
    ],
)
def test_a_refusal_of_ones_own_certificate_is_told_however_late(alert: str, reason: str, sent: bool) -> None:
    told = refusal(within(failed(alert)), URL, sent=sent)
    assert told is not None
    assert told.reason == reason


@pytest.mark.parametrize("reason", ["WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"])
def test_who_does_not_speak_tls_is_called_in_the_clear(reason: str) -> None:
    told = refusal(failed(reason), URL, sent=False)
    assert told is not None
    assert told.hint == "if it is a stage, its address is http://stage.test:7777"


def test_other_failures_of_a_handshake_are_told_in_the_words_of_the_library() -> None:
    told = refusal(failed("NO_SHARED_CIPHER"), URL, sent=False)
    assert told is not None
    assert told.reason == "TLS failed (no shared cipher)"


@pytest.mark.parametrize("reason", ["UNEXPECTED_EOF_WHILE_READING", "WRONG_VERSION_NUMBER", ""])
def test_what_breaks_off_later_says_nothing_of_tls(reason: str) -> None:
    assert refusal(failed(reason), URL, sent=True) is None


@pytest.mark.parametrize("error", [OSError("refused"), within(OSError("reset")), ssl.SSLError()])
def test_what_is_not_of_tls_is_none_of_its_business(error: Exception) -> None:
    assert refusal(error, URL, sent=False) is None


def test_causes_that_go_round_in_a_circle_end() -> None:
    first, second = RuntimeError(), RuntimeError()
    first.__cause__, second.__cause__ = second, first
    assert refusal(first, URL, sent=False) is None


def test_a_plain_server_that_hangs_up_may_speak_tls() -> None:
    assert silence("http://stage.test/http:").endswith("its address is https://stage.test/http:")


def test_one_behind_tls_that_hangs_up_may_want_a_certificate() -> None:
    assert "if it asks callers for a certificate, show one" in silence(URL)
