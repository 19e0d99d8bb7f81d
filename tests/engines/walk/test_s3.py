"""Whatever the driver of S3 raises and a server answers is an error of the tree, in every call of the port."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiobotocore.client
import pytest
from tests.engines.blobs.s3.test_failures import KINDS, made
from tests.engines.walk.calls import NOW_US, At, call, calls_of
from tests.engines.walk.faults import Fault, Told, refusal, told

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.blobs.port import BlobInfo
from soundstage.engines.blobs.s3 import S3Blobs, parse_address
from soundstage.engines.blobs.s3.driver import ERRORS, aiohttp, exceptions
from soundstage.engines.blobs.s3.layout import Seal, sealed, sums

CALLS = calls_of("blobs", S3Blobs)
AWAY, FINAL, BUSY = Told("unavailable", True), Told("unavailable", False), Told("exhausted", True)
STRANGER, DEFECT = Told("unauthenticated", False), Told("internal", False)

DATA = b"red"
INFO = BlobInfo(key="poster", size=3, sha256=hashlib.sha256(DATA).hexdigest(), created_us=NOW_US)
OBJECT = DATA + sums(DATA) + sealed(Seal(INFO, "1"))

CODES: dict[str, tuple[int, Told]] = {
    "AccessDenied": (403, Told("forbidden", False)),
    "AccountProblem": (403, Told("forbidden", False)),
    "AllAccessDisabled": (403, Told("forbidden", False)),
    "AuthorizationHeaderMalformed": (400, FINAL),
    "BadDigest": (400, AWAY),
    "ConditionalRequestConflict": (409, AWAY),
    "EntityTooLarge": (400, Told("too_large", False)),
    "EntityTooSmall": (400, FINAL),
    "ExpiredToken": (400, STRANGER),
    "IllegalLocationConstraintException": (400, FINAL),
    "IncompleteBody": (400, AWAY),
    "InternalError": (500, AWAY),
    "InvalidAccessKeyId": (403, STRANGER),
    "InvalidArgument": (400, FINAL),
    "InvalidBucketName": (400, FINAL),
    "InvalidObjectState": (403, Told("forbidden", False)),
    "InvalidPart": (400, FINAL),
    "InvalidPartOrder": (400, FINAL),
    "InvalidRequest": (400, FINAL),
    "InvalidSecurity": (403, STRANGER),
    "InvalidStorageClass": (400, FINAL),
    "InvalidToken": (400, STRANGER),
    "KeyTooLongError": (400, FINAL),
    "MalformedXML": (400, FINAL),
    "MethodNotAllowed": (405, FINAL),
    "NoSuchBucket": (404, FINAL),
    "NotImplemented": (501, FINAL),
    "NotSignedUp": (403, Told("forbidden", False)),
    "OperationAborted": (409, AWAY),
    "PermanentRedirect": (301, FINAL),
    "QuotaExceeded": (400, BUSY),
    "RequestTimeout": (400, AWAY),
    "RequestTimeTooSkewed": (403, STRANGER),
    "ServiceUnavailable": (503, BUSY),
    "SignatureDoesNotMatch": (403, STRANGER),
    "SlowDown": (503, BUSY),
    "TemporaryRedirect": (307, FINAL),
    "ThrottlingException": (400, BUSY),
    "XAmzContentSHA256Mismatch": (400, AWAY),
    "XMinioStorageFull": (507, BUSY),
    "400": (400, FINAL),
    "403": (403, Told("forbidden", False)),
    "500": (500, AWAY),
    "502": (502, AWAY),
    "503": (503, BUSY),
    "504": (504, AWAY),
}
"""What servers of S3 say that they did not do, and what a caller is told. Some give no code but the status."""

CREDENTIALS = {
    "ConfigParseError",
    "CredentialRetrievalError",
    "InfiniteLoopConfigError",
    "InvalidConfigError",
    "LoginAuthorizationCodeError",
    "LoginError",
    "LoginInsufficientPermissions",
    "LoginRefreshRequired",
    "LoginTokenLoadError",
    "NoAuthTokenError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "SSOError",
    "SSOTokenLoadError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
    "UnknownCredentialError",
    "UnknownTokenProviderError",
}
"""Classes that say that nobody knows who asks."""

UNSAFE = {
    "ClientConnectorCertificateError",
    "ClientConnectorSSLError",
    "ClientSSLError",
    "SSLError",
    "ServerFingerprintMismatch",
}
"""And that the connection cannot be trusted."""

ELSEWHERE = {
    "EofStream",
    "MissingServiceIdError",
    "NoInitialResponseError",
    "ParseError",
    "UndefinedModelAttributeError",
    "WSMessageTypeError",
    "WebSocketError",
}
"""Of WebSockets, of streams of events, and of the driver's own files: no request of the engine raises one."""


class Body:
    """The body of an answer, as the driver hands it over."""

    def __init__(self, data: bytes, fault: Fault) -> None:
        self._data = data
        self._fault = fault

    async def __aenter__(self) -> Body:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    async def read(self, size: int = -1) -> bytes:
        self._fault.strike()
        taken, self._data = self._data[:size] if size >= 0 else self._data, self._data[size:] if size >= 0 else b""
        return taken

    def close(self) -> None:
        """Nothing is open."""


class Bucket:
    """A server with one blob in one bucket, which answers each request or has the driver raise `fault`."""

    def __init__(self) -> None:
        self.fault = Fault()
        self.broken = Fault()
        """Of bodies that break off."""

    def answer(self, operation: str, _parameters: Mapping[str, Any]) -> dict[str, Any]:
        self.fault.strike()
        match operation:
            case "GetObject":
                said = f"bytes 0-{len(OBJECT) - 1}/{len(OBJECT)}"
                return {"Body": Body(OBJECT, self.broken), "ETag": '"1"', "ContentRange": said}
            case "ListObjectsV2":
                return {"Contents": [{"Key": "objects/poster", "ETag": '"1"', "Size": len(OBJECT)}]}
            case _:
                return {"ETag": '"1"'}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    found = Bucket()

    async def call_api(_client: Any, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return found.answer(operation, parameters)

    monkeypatch.setattr(aiobotocore.client.AioBaseClient, "_make_api_call", call_api)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "walk")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "walk")
    return found


def engine() -> S3Blobs:
    """One that is not started, and gives nothing up before it has tried a few times."""
    url = "s3://films?region=eu-1&endpoint=http%3A%2F%2F127.0.0.1%3A9&patience=300ms"
    return S3Blobs(parse_address("walk", urlsplit(url), {}, None), VirtualEnvironment(start_ns=NOW_US * 1_000))


@pytest.fixture
async def blobs(bucket: Bucket) -> AsyncIterator[At]:
    assert bucket
    opened = engine()
    await opened.start()
    yield At(opened)
    await opened.stop()


def refused(code: str, status: int) -> Exception:
    """What the driver makes of a server's refusal."""
    answer: dict[str, Any] = {
        "Error": {"Code": code, "Message": "said"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return exceptions.ClientError(answer, "PutObject")


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", ["head", "put"])
async def test_a_refusal_is_told_as_what_it_means(blobs: At, bucket: Bucket, name: str, code: str) -> None:
    bucket.fault.error = refused(code, CODES[code][0])
    error = await refusal(call("blobs", name, blobs))
    assert error is not None
    assert told(error) == CODES[code][1]


def meaning(kind: type[Exception]) -> Told:
    """What a caller is told of a class of exceptions."""
    if kind.__name__ in CREDENTIALS:
        return STRANGER
    # A refusal that says nothing is asked again by nobody.
    if kind.__name__ in UNSAFE or issubclass(kind, exceptions.ClientError):
        return FINAL
    if kind.__name__ in ("OperationNotPageableError", "ParamValidationError", "UnknownParameterError"):
        return DEFECT
    return AWAY


def test_what_is_not_caught_is_of_something_else() -> None:
    assert {kind.__name__ for kind in KINDS if not issubclass(kind, ERRORS)} == ELSEWHERE


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, ERRORS)], ids=lambda kind: kind.__name__)
async def test_an_exception_of_the_driver_is_told_as_what_it_means(
    blobs: At, bucket: Bucket, kind: type[Exception]
) -> None:
    bucket.fault.error = made(kind)
    error = await refusal(call("blobs", "head", blobs))
    assert error is not None
    assert told(error) == meaning(kind)


FAULTS: dict[str, tuple[Exception, Told]] = {
    "nobody answers": (exceptions.EndpointConnectionError(endpoint_url="http://x"), AWAY),
    "it is silent": (exceptions.ReadTimeoutError(endpoint_url="http://x"), AWAY),
    "it hangs up": (aiohttp.ServerDisconnectedError(), AWAY),
    "the connection breaks": (ConnectionResetError("reset"), AWAY),
    "time is over": (TimeoutError(), AWAY),
    "no credentials": (exceptions.NoCredentialsError(), STRANGER),
    "no right": (refused("AccessDenied", 403), Told("forbidden", False)),
    "too much": (refused("SlowDown", 503), BUSY),
    "it fails": (refused("InternalError", 500), AWAY),
    "no such thing here": (refused("NotImplemented", 501), FINAL),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CALLS)
async def test_no_exception_of_the_driver_passes_a_call(blobs: At, bucket: Bucket, name: str, fault: str) -> None:
    bucket.fault.error, expected = FAULTS[fault]
    error = await refusal(call("blobs", name, blobs))
    assert bucket.fault.met
    assert error is not None
    assert told(error) == expected


@pytest.mark.parametrize("broken", [aiohttp.ClientPayloadError("cut"), ConnectionResetError("reset"), TimeoutError()])
@pytest.mark.parametrize("name", ["head", "open", "list"])
async def test_an_answer_that_breaks_off_passes_no_call(
    blobs: At, bucket: Bucket, name: str, broken: Exception
) -> None:
    bucket.broken.error = broken
    error = await refusal(call("blobs", name, blobs))
    assert bucket.broken.met
    assert error is not None
    assert told(error) == AWAY


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_server_that_does_not_do_it_ends_the_start(bucket: Bucket, fault: str) -> None:
    bucket.fault.error, expected = FAULTS[fault]
    error = await refusal(engine().start())
    assert error is not None
    assert told(error) == expected
