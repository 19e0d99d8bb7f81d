"""What must not be shown: values under telling names, and access tokens wherever they occur."""

from __future__ import annotations

import re

HIDDEN = "(hidden)"

_NAME = re.compile(
    r"(password|passphrase|secret|credentials?|api_?key|authorization|bearer|(^|_)token)$", re.IGNORECASE
)
_TOKEN = re.compile(r"(sst_[0-9a-f]+_|\b[Bb]earer +)[A-Za-z0-9._~+/=-]+")


def is_secret(name: str) -> bool:
    """Whether what goes by `name` is hidden in logs and in `config show`."""
    return _NAME.search(name) is not None


def redacted(text: str) -> str:
    """`text` without the secret parts of access tokens; their ids stay, to tell which one it was."""
    return _TOKEN.sub(lambda match: match.group(1) + HIDDEN, text)
