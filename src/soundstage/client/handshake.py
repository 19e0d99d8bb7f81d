"""Why two sides could not agree on TLS, and what to do about it."""

from __future__ import annotations

import ssl
from typing import NamedTuple
from urllib.parse import urlsplit


class Refusal(NamedTuple):
    """What is wrong, to follow the address, and what to do."""

    reason: str
    hint: str


_UNKNOWN_AUTHORITY = frozenset((2, 18, 19, 20, 21))
_TOO_EARLY, _EXPIRED = 9, 10
_OTHER_NAME = frozenset((62, 63, 64))
"""Numbers of X509_V_ERR_… in OpenSSL, which Python hands on as `verify_code`."""

_NO_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_CERTIFICATE_WANTED = ("CERTIFICATE_REQUIRED",)
_CERTIFICATE_REFUSED = ("ALERT_UNKNOWN_CA", "ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE", "ALERT_UNSUPPORTED")


_SHOW = "show one: `certificate` and `key` of Settings, or SOUNDSTAGE_CERTIFICATE and SOUNDSTAGE_KEY"


def refusal(error: BaseException, url: str, *, sent: bool) -> Refusal | None:
    """What kept TLS from being spoken with the stage at `url`, if that is what `error` comes from.

    Of what was `sent` already a stage may only have refused the certificate, which in TLS 1.3 is told that late:
    whatever else ends a connection then says nothing of what became of the call.
    """
    found = _of_tls(error)
    if isinstance(found, ssl.SSLCertVerificationError):
        return _certificate(found, url)
    # One that Python made itself has no reason at all.
    reason = "" if found is None else str(getattr(found, "reason", None) or "")
    if any(each in reason for each in _CERTIFICATE_WANTED):
        return Refusal("it wants to see a certificate, and none was shown", _SHOW)
    words = reason.replace("_", " ").lower()
    if any(each in reason for each in _CERTIFICATE_REFUSED):
        return Refusal(
            f"it refuses the certificate that was shown ({words})",
            "show one of the authority that `http.tls.client_ca` of the stage names",
        )
    if sent or not reason:
        return None
    if reason.startswith(_NO_TLS):
        plain = url.replace("https:", "http:", 1)
        return Refusal("what listens there does not speak TLS", f"if it is a stage, its address is {plain}")
    return Refusal(f"TLS failed ({words})", "see to the certificates and versions of both sides")


def silence(url: str) -> str:
    """What to do when a server hangs up without a word, as one does that speaks TLS or lacks a certificate."""
    if url.startswith("http:"):
        return f"check that it runs; if it speaks TLS, its address is {url.replace('http:', 'https:', 1)}"
    return f"check that it runs; if it asks callers for a certificate, {_SHOW}"


def _of_tls(error: BaseException | None) -> ssl.SSLError | None:
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ssl.SSLError):
            return error
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None


def _certificate(error: ssl.SSLCertVerificationError, url: str) -> Refusal:
    host = urlsplit(url).hostname
    code, why = error.verify_code, error.verify_message
    if code in _UNKNOWN_AUTHORITY:
        return Refusal(
            f"its certificate is of an authority that is not trusted here ({why})",
            "name the authority's PEM file: `ca` of Settings, or SOUNDSTAGE_CA",
        )
    if code in _OTHER_NAME:
        return Refusal(
            f"its certificate is for another name than {host}",
            "use an address with a name that the certificate is for, or have it issued for this one too",
        )
    if code in (_TOO_EARLY, _EXPIRED):
        when = "has expired" if code == _EXPIRED else "is not valid yet"
        return Refusal(f"its certificate {when}", "renew it at the stage, or see to the clock of this machine")
    return Refusal(f"its certificate cannot be trusted ({why})", "see to the certificate of the stage")
