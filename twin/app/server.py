"""The page as a server in a thread of its own: it reads the store and the twin's view, never waits.

    with Page(port=8050) as page:
        print(page.url)
        page.tell("the board is built")     # what is shown until there is a twin
        page.show(twin)

The server listens on loopback.  A request under another host name is refused, so that no foreign
page can reach it by pointing a name of its own to this computer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final, Protocol

from dash import Dash
from flask import Flask, Response, abort, request
from flask.json.provider import DefaultJSONProvider
from markupsafe import escape
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from guest.closing import Closing
from guest.json_text import parse
from guest.module import ModuleInfo
from sim.scenario_model import Scenario
from twin.app import views
from twin.app.api import blueprint
from twin.app.callbacks import register
from twin.dry_run import DryRun
from twin.errors import TwinError
from twin.store import Store
from twin.view import View

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Page", "PageError", "Subject"]

LOOPBACK: Final = "127.0.0.1"
ASSETS: Final = Path(__file__).parent / "assets"
NAMES: Final = ("127.0.0.1", "localhost", "[::1]")


class PageError(TwinError):
    """The page cannot be served."""


class Subject(Protocol):
    """What is shown: a twin."""

    store: Store
    scenario: Scenario
    info: ModuleInfo

    @property
    def view(self) -> View:
        """What is to be seen now."""

    def calibrate(
        self,
        zone: str,
        values: Mapping[str, int],
        *,
        who: str,
        seen: Mapping[str, int] | None = None,
        expires_s: float | None = None,
    ) -> Future[dict[str, int]]:
        """Change parameters."""

    def try_out(self, zone: str, values: Mapping[str, int], days: int) -> DryRun:
        """What a change would have done over the last days."""


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        logging.getLogger("twin.app").debug(message, *args)


class Page(Closing):
    """A running server; `port` 0 takes any free one.  Raises PageError if it cannot listen.

    It says that it starts, and what is being done, until it is given something to `show`.
    """

    def __init__(self, subject: Subject | None = None, *, port: int = 8050) -> None:
        self.token = token_urlsafe(24)
        self._doing = "starting"
        self._answer: WSGIApplication = self._starting()
        if subject is not None:
            self.show(subject)
        try:
            self._server: BaseWSGIServer = make_server(
                LOOPBACK,
                port,
                lambda environ, start: self._answer(environ, start),
                threaded=True,
                request_handler=_Quiet,
            )
        except (OSError, SystemExit) as error:
            raise PageError(f"port {port} of {LOOPBACK}: cannot listen ({error})") from None
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="page", kwargs={"poll_interval": 0.1}
        )
        self._thread.start()

    def tell(self, doing: str) -> None:
        """What is being done before there is something to show."""
        self._doing = doing

    def show(self, subject: Subject) -> None:
        """From now on the pages of `subject`; a browser that waits finds them by itself."""
        server = _flask()
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
        app.layout = views.shell()
        register(app, subject)
        server.register_blueprint(blueprint(subject, self.token))
        self._answer = server

    def _starting(self) -> Flask:
        """Answers 503 and what is being done, on every path, and asks again a second later."""
        server = _flask()
        style = (ASSETS / "levada.css").read_text("utf-8")

        @server.route("/", defaults={"_path": ""})
        @server.route("/<path:_path>")
        def starting(_path: str) -> tuple[str, int, dict[str, str]]:
            text = (
                '<!doctype html><html lang="en"><meta charset="utf-8"><title>levada</title>'
                '<meta name="viewport" content="width=device-width, initial-scale=1">'
                f'<meta http-equiv="refresh" content="1"><style>{style}</style>'
                '<main><section role="status"><h1>levada starts</h1>'
                f'<p class="hint">{escape(self._doing)} &hellip;</p></section></main></html>'
            )
            return text, 503, {"Retry-After": "1"}

        return server

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self.port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Json(DefaultJSONProvider):
    """Bodies of requests: what cannot be read is a ValueError, which Flask answers with 400."""

    def loads(self, s: str | bytes, **_options: Any) -> Any:
        """The value of a body."""
        return parse(s)


def _flask() -> Flask:
    server = Flask("levada", static_folder=None)
    server.json = _Json(server)
    server.before_request(_only_us)
    server.after_request(_headers)
    return server


def _only_us() -> None:
    host = request.host.rpartition(":")[0] if ":" in request.host else request.host
    if host not in NAMES:
        abort(403, "unknown host name")


def _headers(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
