"""The door of a page to other computers: TLS, and who knows the password gets a session."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import secrets
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flask import Response, has_request_context, make_response, redirect, request

from levada.guest.text.logs import LimitedLog
from levada.hil.errors import UsageError
from levada.hil.line.tls import server_context
from levada.twin.app.document import plain
from levada.twin.app.password import MOST, Attempts, Password, read_password

__all__ = ["LOGIN", "LOGOUT", "Door", "Login", "is_remote", "open_door"]

_log = logging.getLogger(__name__)

PORT: Final = 8443
LOGIN: Final = "/login"
LOGOUT: Final = "/logout"
_SESSION_S: Final = 12 * 3600.0
_SESSIONS: Final = 1_000
_BODY: Final = """
<main class="login">
<section>
<h1>levada</h1>
<form method="post" action="{login}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password"
 maxlength="{most}" required autofocus{invalid}>
{said}<button class="primary" type="submit">Log in</button>
</form>
</section>
</main>
"""


class Door:
    """Where other computers reach the page.  `names` are those of its certificate."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        context: ssl.SSLContext,
        names: tuple[str, ...],
        password: Password,
    ) -> None:
        self.host, self.port = host, port
        self.context, self.names, self.password = context, names, password


def open_door(
    host: str | None, port: int | None, pki: str | None, password: Path | None
) -> Door | None:
    """The door that was asked for; None if the page is for this computer alone.

    Raises UsageError if it would stand open: without a certificate, or without a password.
    """
    if host is None or _is_loopback(host):
        if password is not None or port is not None:
            option = "--host-port" if password is None else "--password-file"
            found = "" if host is None else f", not {host}, which is this computer alone"
            raise UsageError(
                f"{option}: is for a page that others reach: give --host, such as 0.0.0.0{found}"
            )
        return None
    lacks = []
    if pki is None:
        lacks.append("a certificate (--pki DIR of `levada pki issue NAME --host HOST`)")
    if password is None:
        lacks.append("a password (--password-file FILE of `levada page-password FILE`)")
    if pki is None or password is None:
        raise UsageError(
            f"--host {host}: others reach the page there, so it needs {' and '.join(lacks)}; "
            "without --host it is for this computer alone"
        )
    context, names = server_context(pki)
    return Door(
        host=host,
        port=PORT if port is None else port,
        context=context,
        names=names,
        password=read_password(password),
    )


def is_remote() -> bool:
    """Whether the present request comes through the door; there is none while pages are made."""
    return has_request_context() and request.scheme == "https"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Login:
    """Sessions of who has told the password."""

    def __init__(
        self,
        password: Password,
        *,
        attempts: Attempts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._password = password
        self._attempts = attempts or Attempts()
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: OrderedDict[bytes, float] = OrderedDict()
        """Digest of the cookie -> when it ends."""
        self._said = LimitedLog(_log)

    def knows(self) -> bool:
        """Whether the present request belongs to a session."""
        given = request.cookies.get(_cookie(), "")
        with self._lock:
            ends = self._sessions.get(_digest(given))
        return ends is not None and self._clock() < ends

    def answer(self) -> Response:
        """The form, or what follows from it."""
        if request.method == "POST":
            return self._submitted()
        return _form()

    def _submitted(self) -> Response:
        address = _network(request.remote_addr or "")
        wait_s = self._attempts.take(address)
        if wait_s > 0:
            answer = _form(f"Too many attempts. Wait {wait_s:.0f} s, then try again.", 429)
            answer.headers["Retry-After"] = f"{wait_s:.0f}"
            return answer
        if not self._password.matches(request.form.get("password", "")):
            self._said.warning("login at the page failed from %s", request.remote_addr)
            return _form("This is not the password.", 403)
        self._attempts.forgive(address)
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._sessions[_digest(token)] = self._clock() + _SESSION_S
            if len(self._sessions) > _SESSIONS:
                self._sessions.popitem(last=False)
        answer = make_response(redirect("/", 303))
        answer.set_cookie(
            _cookie(),
            token,
            max_age=int(_SESSION_S),
            secure=True,
            httponly=True,
            samesite="Strict",
            path="/",
        )
        return answer

    def end(self) -> Response:
        """Log out."""
        with self._lock:
            self._sessions.pop(_digest(request.cookies.get(_cookie(), "")), None)
        answer = make_response(redirect(LOGIN, 303))
        answer.delete_cookie(_cookie(), path="/", secure=True, httponly=True, samesite="Strict")
        return answer


def _form(said: str = "", status: int = 200) -> Response:
    body = _BODY.format(
        login=LOGIN,
        most=MOST,
        invalid=' aria-invalid="true" aria-describedby="said"' if said else "",
        said=f'<p id="said" role="alert">{said}</p>\n' if said else "",
    )
    answer = Response(plain("Log in", body), status, mimetype="text/html")
    answer.headers["Cache-Control"] = "no-store"
    # without a referrer a browser sends a form from the origin `null`, which the gate refuses
    answer.headers["Referrer-Policy"] = "same-origin"
    return answer


def _cookie() -> str:
    """The prefix has the browser refuse one that a page without TLS would set."""
    return f"__Host-levada-{request.environ['SERVER_PORT']}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _network(address: str) -> str:
    """An address as attempts are counted: of IPv6 the first half, the rest is the host's choice."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 6:
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return address
