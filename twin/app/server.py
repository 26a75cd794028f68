"""The page as a server in a thread of its own: it reads the store and the twin's view, never waits.

    with Page(port=8050) as page:
        print(page.url)
        page.tell("the board is built")     # what is shown until there is a twin
        page.show(twin)

The server listens on loopback, and for other computers with TLS at a `Door`
(`levada.twin.app.login`), within bounds (`levada.twin.app.bounded`); who may do what is decided at
the gate (`levada.twin.app.gate`).
"""

from __future__ import annotations

import logging
import ssl
from collections import ChainMap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from dash import Dash
from dash.exceptions import DashException
from flask import Flask, Response, jsonify, request
from flask.json.provider import DefaultJSONProvider
from markupsafe import escape
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException

from levada.guest.lifecycle import Closing
from levada.guest.text.json_text import parse
from levada.twin.app import pages
from levada.twin.app.api import blueprint
from levada.twin.app.asked import AskedRight
from levada.twin.app.bounded import MOST_CONNECTIONS, BoundedServer
from levada.twin.app.callbacks import is_page, register
from levada.twin.app.document import ASSETS, INDEX, plain
from levada.twin.app.gate import DASH_PATH, Gate
from levada.twin.app.health_route import add_health
from levada.twin.app.login import LOGIN, Door, Login, is_remote
from levada.twin.app.shown import Continuum, Shown, Subject
from levada.twin.errors import CalibrationError, StoreError, TwinError, UnansweredError
from levada.twin.health import Part, process_part
from levada.twin.store.engine import first_line
from levada.twin.store.store import Store

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Page", "PageError"]

_log = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"


class PageError(TwinError):
    """The page cannot be served."""


class Page(Closing):
    """A running server; `port` 0 takes any free one.  Raises PageError if it cannot listen.

    It says that it starts, and what is being done, until it is given something to `show`.  `parts`,
    which may become more, are asked for /health, beside the store, the page and this process.
    """

    def __init__(
        self,
        subject: Subject | None = None,
        *,
        port: int = 8050,
        door: Door | None = None,
        opened: Callable[[str], None] = lambda _link: None,
        parts: dict[str, Callable[[], Part]] | None = None,
    ) -> None:
        self._gate = Gate(
            lambda path: opened(self.url + path),
            login=None if door is None else Login(door.password),
            names=() if door is None else door.names,
        )
        self._names = () if door is None else door.names
        self._doing = "starting"
        self._store: Store | None = None
        own = {"process": process_part, "page": self._part}
        self._parts = ChainMap({} if parts is None else parts, own)
        self._answer: WSGIApplication = self._starting()
        if subject is not None:
            self.show(subject)
        self._servers: list[BoundedServer] = []
        self._listen(LOOPBACK, port)
        if door is not None:
            self._listen(door.host, door.port, door.context)
        self.port = self._servers[0].port

    def _listen(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        try:
            server = BoundedServer(
                lambda environ, start: self._answer(environ, start),
                host=host,
                port=port,
                context=context,
            )
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be started
            self.close()
            raise PageError(f"port {port} of {host}: cannot listen ({error})") from None
        self._servers.append(server)

    def tell(self, doing: str) -> None:
        """What is being done before there is something to show."""
        self._doing = doing

    def watch(self, store: Store) -> None:
        """Tell of `store` in /health: what devices send will be acknowledged from now on, though
        there is nothing to show yet."""
        self._store = store

    def show(self, twin: Subject | None, *, continuum: Continuum | None = None) -> None:
        """From now on the pages of a twin, of the continuum, or of both; a browser that waits
        finds them by itself."""
        shown = Shown(twin, continuum)
        server = _flask(self._gate)
        app = Dash(
            "levada",
            server=server,  # type: ignore[arg-type]  # annotated too narrowly
            title="levada",
            update_title=None,  # type: ignore[arg-type]  # the tab must not blink every second
            assets_folder=str(ASSETS),
            suppress_callback_exceptions=True,
            serve_locally=True,
            add_log_handler=False,
        )
        app.index_string = INDEX
        app.layout = pages.shell  # anew for each browser: who has logged in can log out
        self._gate.reading = register(app, shown)
        asked = AskedRight(app.callback_map)

        @server.before_request
        def check_callback() -> None:
            if request.path == DASH_PATH:
                asked.check()

        @server.after_request
        def missing(response: Response) -> Response:
            """A path that no page has: the browser shows so, and programs see it."""
            rule = request.url_rule.rule if request.url_rule else ""
            shell = rule == "/<path:path>" and response.status_code == 200
            of_the_door = is_remote() and request.path == LOGIN
            if shell and not (of_the_door or is_page(shown, request.path)):
                response.status_code = 404
            return response

        server.register_blueprint(blueprint(shown, self._parts))
        self._answer = server

    def _starting(self) -> Flask:
        """Answers 503 and what is being done, on every path, and asks again a second later; of
        /health it tells the truth."""
        server = _flask(self._gate)
        twin = {"twin": lambda: Part(ok=True, detail=f"starts: {self._doing}")}
        parts = ChainMap(twin, self._parts)
        add_health(server, parts, store=lambda: self._store, view=lambda: None)

        @server.route("/", defaults={"_path": ""})
        @server.route("/<path:_path>")
        def starting(_path: str) -> tuple[str, int, dict[str, str]]:
            body = (
                '<main><h1>levada starts</h1><section role="status">'
                f'<p class="hint">{escape(self._doing)} &hellip;</p></section></main>'
            )
            text = plain("Starting", body, head='<meta http-equiv="refresh" content="1">')
            return text, 503, {"Retry-After": "1"}

        return server

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def remote_url(self) -> str | None:
        """Where others find it, if they do."""
        if not self._names:
            return None
        name = f"[{self._names[0]}]" if ":" in self._names[0] else self._names[0]
        return f"https://{name}:{self._servers[1].port}"

    @property
    def token(self) -> str:
        """What a program sends as bearer to change something."""
        return self._gate.token

    @property
    def link(self) -> str:
        """Opens the page once, in one browser, with the right to change something."""
        return self.url + self._gate.link

    def _part(self) -> Part:
        used = max(server.connections for server in self._servers)
        return Part(
            ok=all(server.running for server in self._servers),
            detail=f"{used} of at most {MOST_CONNECTIONS} connections",
        )

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()


class _Json(DefaultJSONProvider):
    """Bodies of requests: what cannot be read is a ValueError, which Flask answers with 400."""

    def loads(self, s: str | bytes, **_options: Any) -> Any:
        """The value of a body."""
        return parse(s)


def _flask(gate: Gate) -> Flask:
    server = Flask("levada", static_folder=None)
    server.json = _Json(server)
    server.before_request(gate.check)
    server.after_request(_headers)
    server.register_error_handler(Exception, _refused)
    return server


def _refused(error: Exception) -> tuple[Response, int]:
    """One line that says what is wrong, whatever it is; the rest is for the log."""
    match error:
        case HTTPException():
            if error.code is not None and error.code < 400:
                return error.get_response(), error.code  # type: ignore[return-value]  # of Flask
            return _said(error.description), error.code or 500
        case UnansweredError():
            return _said(str(error)), 504
        case CalibrationError():
            return _said(str(error)), 422
        case RecursionError():
            return _said("the request is nested too deep"), 400
        case DashException():
            return _said("not found"), 404
        case StoreError():
            _log.warning("%s: %s", request.path, error)
            return _said(str(error)), 503
        case DBAPIError():
            _log.warning("%s: %s", request.path, first_line(error))
            return _said(first_line(error)), 503
    _log.error("%s %s", request.method, request.path, exc_info=error)
    return _said(f"a fault of levada ({type(error).__name__}); its log says more"), 500


def _said(text: str | None) -> Response:
    return jsonify({"error": text})


def _headers(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response
