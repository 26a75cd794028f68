"""Secrets out of texts that are shown, logged or kept: the one function for all of them.

A secret stands in front of the `@` of a URL, whatever characters it holds, or behind the name of a
parameter that carries one (`?password=`, `sslpassword=`, `"token": `).  Everything in front of the
`@` is taken out, the user's name too: some brokers take a token for it.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["HIDDEN", "redacted"]

HIDDEN: Final = "***"

_NAMES: Final = r"[\w-]*(?:passw(?:or)?d|pwd|passphrase|secret|token|api_?key)\w*"
_WHOLE_URL: Final = re.compile(
    r"(\s*(?:[\w.-]+=)?(?!http)[a-z][\w+.:-]*:/+)(?:(?!://).)*@", re.IGNORECASE
)
"""A text that is nothing but a URL: its password may hold spaces and quotes."""
_QUOTED_URL: Final = re.compile(r"(?<=([\"'`]))([a-z][\w+.:-]*:/+)(?:(?!\1).)*@", re.IGNORECASE)
_URL: Final = re.compile(r"([a-z][\w+.-]*:/+)[^\s\"'`<>]*@", re.IGNORECASE)
_NO_SCHEME: Final = re.compile(r"(?<!\w)[^\s\"'`<>=(/:@]+:(?!/)[^\s\"'`<>@]+@(?=[\w\[])")
"""user:password@host, where a URL was meant."""
_PARAMETER: Final = re.compile(
    rf"(\b{_NAMES}(?:\s*=\s*|[\"']?\s*:\s*(?=[\"'])))(?:'[^']*'|\"[^\"]*\"|[^\s&;,\"'`<>#]+)",
    re.IGNORECASE,
)


def redacted(text: object) -> str:
    """`text` without passwords: `mqtt://me:word@host` -> `mqtt://***@host`."""
    said = str(text)
    if (whole := _WHOLE_URL.match(said)) is not None:
        said = f"{whole[1]}{HIDDEN}{said[whole.end() - 1 :]}"
    said = _QUOTED_URL.sub(rf"\2{HIDDEN}@", said)
    said = _URL.sub(rf"\1{HIDDEN}@", said)
    said = _NO_SCHEME.sub(f"{HIDDEN}@", said)
    return _PARAMETER.sub(rf"\1{HIDDEN}", said)
