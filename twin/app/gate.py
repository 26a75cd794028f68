"""Who may do what, decided in one place before any route or callback is reached.

- Nobody comes in under a foreign host name, or from a page of another origin: neither a name that
  was pointed at this computer nor a form of somebody else's page gets anywhere.
- What changes something, or takes much work, needs the token of the run: as a bearer, or as the
  cookie that the one-time link has set.  Whatever is not known only to read is taken to change
  something.
- Reading needs nothing but being on this computer.
- Who comes from another one, which is by TLS alone, needs the token or a session for anything at
  all (`levada.twin.app.login`); a session may change things, too.
"""

from __future__ import annotations

import hmac
import re
import threading
from collections.abc import Callable, Collection
from secrets import token_urlsafe
from typing import Final

from flask import Response, abort, redirect, request

from levada.twin.app.document import plain
from levada.twin.app.login import LOGIN, LOGOUT, Login

__all__ = ["DASH_PATH", "OPEN", "Gate", "may_change"]

OPEN: Final = "/open/"
"""Before the code of the one-time link."""
DASH_PATH: Final = "/_dash-update-component"
_HOST: Final = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_READING: Final = ("GET", "HEAD", "OPTIONS")
_NEEDED: Final = (
    "the token of this run is needed to change anything: open the link that `levada twin` has "
    "printed, or send the token of page.json as a bearer"
)
_USED: Final = "This link has been used: `levada twin` has printed the next one."
_NO_LINK: Final = "This is no link of the twin that runs here: take the one that it has printed."
_ALLOWED: Final = "levada.may_change"


class Gate:
    """The gate of a page; `opened(path)` is told the next one-time link when one has been used."""

    def __init__(
        self,
        opened: Callable[[str], None] = lambda _path: None,
        *,
        login: Login | None = None,
        names: Collection[str] = (),
    ) -> None:
        self._login = login
        self._names = frozenset(name.lower() for name in names)
        """Under which other computers reach the page."""
        self.token = token_urlsafe(24)
        """Opens the gate to programs; it is never part of a URL."""
        self.reading: Collection[str] = ()
        """Callbacks of Dash, by their outputs, that only read."""
        self._session = token_urlsafe(24)
        """The cookie: not the token, since a browser shows it to every port of this computer."""
        self._code = token_urlsafe(24)
        self._used: set[str] = set()
        self._lock = threading.Lock()
        self._opened = opened

    @property
    def link(self) -> str:
        """Path that opens the gate to one browser."""
        return f"{OPEN}{self._code}"

    def check(self) -> Response | None:
        """Let the present request pass, or answer it, or refuse it (HTTPException)."""
        if self._login is not None and request.scheme == "https":
            return self._check_remote(self._login)
        _check_origin(_HOST.fullmatch(request.host) is not None, "127.0.0.1, localhost and [::1]")
        _check_text()
        allowed = self._knows_token()
        request.environ[_ALLOWED] = allowed
        if request.path.startswith(OPEN):
            return self._open(allowed)
        if not allowed and not self._only_reads():
            abort(403, _NEEDED)
        return None

    def _check_remote(self, login: Login) -> Response | None:
        _check_origin(_host().lower() in self._names, "those of the certificate")
        _check_text()
        if request.path == LOGIN:
            return login.answer()
        allowed = login.knows() if (bearer := self._bearer()) is None else bearer
        request.environ[_ALLOWED] = allowed
        if not allowed:
            if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
                return redirect(LOGIN, 303)  # type: ignore[return-value]
            abort(401, f"log in at {LOGIN}, or send the token of page.json as a bearer")
        if request.path == LOGOUT:
            return login.end()
        if request.path.startswith(OPEN):
            return redirect("/", 303)  # type: ignore[return-value]
        return None

    def _bearer(self) -> bool | None:
        """Whether the token that was sent is the right one; None: none was."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return _same(given.strip(), self.token) if scheme.lower() == "bearer" else None

    def _knows_token(self) -> bool:
        if (bearer := self._bearer()) is not None:
            return bearer
        return _same(request.cookies.get(_cookie(), ""), self._session)

    def _only_reads(self) -> bool:
        if request.method in _READING:
            return True
        if request.method != "POST" or request.path != DASH_PATH:
            return False
        body = request.get_json(silent=True)
        output = body.get("output") if isinstance(body, dict) else None
        return isinstance(output, str) and output in self.reading

    def _open(self, allowed: bool) -> Response:
        """Set the cookie, once, and lead to the page; a browser that has it is led there again."""
        if request.method != "GET":
            abort(405)
        if request.headers.get("Sec-Purpose"):  # a browser that looks ahead would use it up
            abort(503, "open the link, do not fetch it in advance")
        answer = redirect("/", 303)
        if allowed:
            return answer  # type: ignore[return-value]  # a response of Flask it is
        with self._lock:
            given = request.path.removeprefix(OPEN)
            if not _same(given, self._code):
                return _in_words(_USED if given in self._used else _NO_LINK)
            self._used.add(given)
            self._code = token_urlsafe(24)
        answer.set_cookie(_cookie(), self._session, httponly=True, samesite="Strict", path="/")
        self._opened(self.link)
        return answer  # type: ignore[return-value]


def _in_words(text: str) -> Response:
    """A page for who has clicked on a link that opens nothing."""
    body = f'<main><h1>Not opened</h1><p>{text}</p><p><a href="/">Only look</a></p></main>'
    return Response(plain("Not opened", body), 403, mimetype="text/html")


def may_change() -> bool:
    """Whether the present request has the token."""
    return bool(request.environ.get(_ALLOWED))


def _host() -> str:
    """The name that the request was sent to, without port and brackets."""
    return re.sub(r":[0-9]{1,5}$", "", request.host).strip("[]")


def _check_origin(known: bool, permitted: str) -> None:
    if not known:
        abort(403, f"unknown host name: permitted are {permitted}")
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() != f"{request.scheme}://{request.host}".lower():
        abort(403, "a page of another origin may not ask")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if request.method not in _READING and site not in ("same-origin", "none"):
        abort(403, "a page of another origin may not ask")


def _check_text() -> None:
    """No database takes a NUL in a text, and nobody's name holds one."""
    if "\0" in request.path or any(
        "\0" in text for pair in request.args.items(True) for text in pair
    ):
        abort(400, "the address holds a NUL character")


def _cookie() -> str:
    """Cookies are shared by all ports of a host, so each page has its own."""
    return f"levada-{request.environ['SERVER_PORT']}"


def _same(given: str, expected: str) -> bool:
    """Compared in constant time, whatever is given."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
