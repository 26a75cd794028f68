"""The page for other computers: TLS, a login, a session; and that of this computer as ever."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest
from looking import Look, chrome
from services import need
from small_field import scenario

from levada.hil.errors import UsageError
from levada.hil.line.tls import client_context, server_context
from levada.twin.app.login import LOGOUT, Door, Login, open_door
from levada.twin.app.password import Attempts, read_password, write_password
from levada.twin.app.server import Page
from levada.twin.cli.main import main
from levada.twin.pki.authority import Authority, create
from levada.twin.sources.bench import Bench
from levada.twin.store.store import Store
from levada.twin.twin import Twin

WORD = "correct horse battery"
CALIBRATION = "/api/zones/maize/calibration"


class Remote:
    """A page with a door, at loopback's address, and who knocks."""

    def __init__(self, page: Page, authority: Authority) -> None:
        self.page = page
        self.authority = authority
        self.port = page._servers[1].port
        self.context = client_context(authority.files("visitor"))

    def ask(
        self, path: str, body: str | None = None, *, method: str = "", **headers: str
    ) -> tuple[int, str, HTTPResponse]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPSConnection("localhost", self.port, context=self.context, timeout=60)
        with closing(connection):
            connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer

    def log_in(self, word: str = WORD, **headers: str) -> tuple[int, str, HTTPResponse]:
        return self.ask(
            "/login",
            urlencode({"password": word}),
            Content_Type="application/x-www-form-urlencoded",
            **headers,
        )

    def session(self) -> dict[str, str]:
        status, _, answer = self.log_in()
        assert status == 303
        return {"Cookie": (answer.getheader("Set-Cookie") or "").partition(";")[0]}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = create(tmp_path_factory.mktemp("pki") / "pki")
    made.issue("twin", hosts=["localhost", "twin.example.org"])
    made.issue("visitor")
    return made


@pytest.fixture(scope="module")
def word_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("word") / "password"
    write_password(file, WORD)
    return file


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    folder = tmp_path_factory.mktemp("twin")
    with Store(folder / "store.sqlite") as store:
        made = Twin(scenario(folder), store, Bench(speed=None))
        yield made
        made.close()


@pytest.fixture
def remote(authority: Authority, word_file: Path, twin: Twin) -> Iterator[Remote]:
    context, names = server_context(authority.files("twin"))
    door = Door(
        host="127.0.0.1", port=0, context=context, names=names, password=read_password(word_file)
    )
    with Page(twin, port=0, door=door) as page:
        yield Remote(page, authority)


def test_without_a_session_nothing_is_shown(remote: Remote) -> None:
    for path in (
        "/",
        "/zone/maize",
        "/api/field",
        "/health",
        "/metrics",
        "/_dash-layout",
        "/assets/levada.css",
    ):
        status, said, answer = remote.ask(path)
        assert status == 401, path
        assert "maize" not in said
        status, _, answer = remote.ask(path, Accept="text/html")
        assert (status, answer.getheader("Location")) == (303, "/login"), path
    assert remote.ask(CALIBRATION, '{"values": {"on_pct": 60}}')[0] == 401
    assert remote.ask("/logout", "")[0] == 401


def test_the_password_opens_a_session_and_log_out_ends_it(remote: Remote) -> None:
    status, said, _ = remote.ask("/login")
    assert status == 200
    assert '<html lang="en">' in said
    assert '<label for="password">' in said
    status, _, answer = remote.log_in()
    assert (status, answer.getheader("Location")) == (303, "/")
    cookie = answer.getheader("Set-Cookie") or ""
    assert cookie.startswith(f"__Host-levada-{remote.port}=")
    for attribute in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert attribute in cookie
    assert "Domain" not in cookie
    session = {"Cookie": cookie.partition(";")[0]}
    assert remote.ask("/", **session)[0] == 200
    assert "maize" in remote.ask("/api/field", **session)[1]
    assert "Log out" in remote.ask("/_dash-layout", **session)[1]
    # who is in may change things, too: this value is outside its range
    status, said, _ = remote.ask(
        CALIBRATION, '{"values": {"on_pct": 10000}}', Content_Type="application/json", **session
    )
    assert status == 422, said
    assert remote.ask("/logout", **session)[0] == 303
    assert remote.ask("/api/field", **session)[0] == 401


def test_a_wrong_password_is_refused_and_repeated_nowhere(
    remote: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    status, said, answer = remote.log_in("correct horse batters")
    assert "login at the page failed from 127.0.0.1" in caplog.text
    assert "batter" not in caplog.text
    assert status == 403
    assert 'role="alert">This is not the password.' in said
    assert answer.getheader("Set-Cookie") is None
    assert "batter" not in said


@pytest.mark.parametrize(
    "body", ["", "password=", "password=%00", "x=1", "\x00\xff", "password=" + "a" * 100_000]
)
def test_no_body_of_a_login_does_harm(remote: Remote, body: str) -> None:
    status, said, _ = remote.ask("/login", body, Content_Type="application/x-www-form-urlencoded")
    assert status in (400, 403, 413), said


def test_a_browser_logs_in_and_out(remote: Remote, tmp_path: Path) -> None:
    """Page, cookie and callbacks of a real one, over TLS; nothing of it scrolls sideways."""
    with chrome(any_authority=True) as browser:
        look = Look(browser, remote.page.remote_url or "", tmp_path)
        size = {"width": 390, "height": 700, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        look.open("/zone/maize")
        assert browser.current_url.endswith("/login")
        look.find("label[for=password]")
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390  # type: ignore[no-untyped-call]
        look.find("#password").send_keys("wrong wrong wrong")
        look.find("button").click()
        look.text("[role=alert]", "This is not the password.")
        look.find("#password").send_keys(WORD)
        look.find("button").click()
        look.text("#page", "maize")
        cookies = browser.get_cookies()
        assert [cookie["httpOnly"] and cookie["secure"] for cookie in cookies] == [True]
        look.find(f"a[href='{LOGOUT}']").click()
        look.find("label[for=password]")
        look.open("/")
        assert browser.current_url.endswith("/login")


def test_attempts_are_limited_by_address(remote: Remote) -> None:
    assert [remote.log_in("wrong")[0] for _ in range(5)] == [403] * 5
    status, said, answer = remote.log_in()  # the right one, too
    assert status == 429
    assert int(answer.getheader("Retry-After") or 0) in range(1, 31)
    assert "Too many attempts" in said


def test_attempts_come_back_with_time() -> None:
    now = 0.0
    attempts = Attempts(clock=lambda: now)
    assert [attempts.take("a") for _ in range(6)] == [0, 0, 0, 0, 0, 30]
    assert attempts.take("b") == 0
    now = 30
    assert attempts.take("a") == 0
    assert attempts.take("a") == 30
    attempts.forgive("a")
    assert attempts.take("a") == 0


def test_many_addresses_share_a_limit_and_fill_no_memory() -> None:
    now = 0.0
    attempts = Attempts(clock=lambda: now)
    waits = [attempts.take(str(n)) for n in range(100)]
    assert waits.count(0) == 40
    for n in range(3_000):
        now += 1
        attempts.take(f"{n}")
    assert len(attempts._of) == 1_000


def test_a_session_ends(word_file: Path) -> None:
    from flask import Flask

    now = 0.0
    app = Flask("x")
    login = Login(read_password(word_file), clock=lambda: now)
    with app.test_request_context("/login", method="POST", data={"password": WORD}):
        cookie = login.answer().headers["Set-Cookie"].partition(";")[0]
    with app.test_request_context("/", headers={"Cookie": cookie}):
        assert login.knows()
        now = 12 * 3600
        assert not login.knows()


def test_the_token_of_a_program_opens_and_another_does_not(remote: Remote) -> None:
    bearer = f"Bearer {remote.page.token}"
    assert remote.ask("/api/field", Authorization=bearer)[0] == 200
    assert remote.ask("/api/field", Authorization=bearer + "x")[0] == 401
    session = remote.session()
    assert remote.ask("/api/field", Authorization="Bearer x", **session)[0] == 401


def test_a_link_and_a_cookie_of_this_computer_open_nothing_there(remote: Remote) -> None:
    path = remote.page.link.removeprefix(remote.page.url)
    assert remote.ask(path)[0] == 401
    with closing(HTTPConnection("127.0.0.1", remote.page.port, timeout=60)) as near:
        near.request("GET", path)
        answer = near.getresponse()
        answer.read()
        assert answer.status == 303  # it was not used up
        value = (answer.getheader("Set-Cookie") or "").partition(";")[0].partition("=")[2]
    for name in (f"levada-{remote.port}", f"__Host-levada-{remote.port}"):
        assert remote.ask("/api/field", Cookie=f"{name}={value}")[0] == 401


def test_this_computer_needs_no_login(remote: Remote) -> None:
    with closing(HTTPConnection("127.0.0.1", remote.page.port, timeout=60)) as near:
        for path, text in (("/api/field", "maize"), ("/_dash-layout", "title")):
            near.request("GET", path)
            answer = near.getresponse()
            said = answer.read().decode()
            assert answer.status == 200
            assert text in said
            assert "Log out" not in said
        # and cannot be told that it is the other way
        near.request("GET", "/login", headers={"X-Forwarded-Proto": "https"})
        answer = near.getresponse()
        answer.read()
        assert answer.status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_no_foreign_name_and_no_foreign_page_gets_in(
    remote: Remote, headers: dict[str, str]
) -> None:
    assert remote.log_in(**headers)[0] == 403
    assert remote.log_in(Host="twin.example.org")[0] == 303  # a name of the certificate


def test_a_large_answer_and_many_at_once_come_whole(remote: Remote) -> None:
    """The loop reads and sixteen threads write, over connections that are kept."""
    session = remote.session()
    _, page, _ = remote.ask("/", **session)
    scripts = re.findall(r'src="(/_dash-component-suites/[^"]+)"', page)
    script = max(scripts, key=lambda path: len(remote.ask(path, **session)[1]))
    found: list[tuple[int, bytes]] = []

    def look() -> None:
        connection = HTTPSConnection("localhost", remote.port, context=remote.context, timeout=60)
        with closing(connection):
            for _ in range(4):
                connection.request("GET", script, headers=session)
                said = connection.getresponse().read()
                found.append((len(said), hashlib.sha256(said).digest()))

    threads = [threading.Thread(target=look) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 48
    assert len(set(found)) == 1
    assert found[0][0] > 300_000


def test_no_plain_http_and_no_old_tls(remote: Remote) -> None:
    with socket.create_connection(("127.0.0.1", remote.port)) as plain:
        plain.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b""
        with suppress(ConnectionResetError):
            while data := plain.recv(4096):
                said += data
    assert b"HTTP" not in said
    where = ["-connect", f"127.0.0.1:{remote.port}"]
    for version, works in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        done = subprocess.run(
            # level 0, or the program itself would have nothing to do with the old one
            [need("openssl"), "s_client", *where, version, "-cipher", "DEFAULT:@SECLEVEL=0"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode == 0) == works, (version, done.stderr)
    assert remote.ask("/login")[0] == 200


def test_who_says_nothing_keeps_nobody_out(remote: Remote) -> None:
    """Connections that never shake hands are cut off like others that are silent."""
    silent = [socket.create_connection(("127.0.0.1", remote.port)) for _ in range(110)]
    assert remote.ask("/login")[0] == 200
    for one in silent:
        one.close()


# -- what is asked for -----------------------------------------------------------------------------


def test_a_door_without_lock_is_refused(authority: Authority, word_file: Path) -> None:
    pki = str(authority.files("twin"))
    with pytest.raises(
        UsageError, match=r"a certificate \(--pki.*and a password \(--password-file"
    ):
        open_door("0.0.0.0", None, None, None)
    with pytest.raises(UsageError, match="needs a password"):
        open_door("0.0.0.0", None, pki, None)
    with pytest.raises(UsageError, match="needs a certificate"):
        open_door("::", None, None, word_file)
    with pytest.raises(UsageError, match=r"names no host; issue one with --host"):
        open_door("0.0.0.0", None, str(authority.files("visitor")), word_file)
    with pytest.raises(UsageError, match=r"no file of a password.*levada page-password"):
        open_door("0.0.0.0", None, pki, authority.files("twin") / "ca.pem")
    with pytest.raises(UsageError, match="--password-file: is for a page that others reach"):
        open_door(None, None, pki, word_file)
    with pytest.raises(UsageError, match="--host-port: is for a page"):
        open_door("127.0.0.1", 1, None, None)
    for loopback in (None, "127.0.0.1", "::1", "localhost"):
        assert open_door(loopback, None, pki, None) is None
    door = open_door("0.0.0.0", None, pki, word_file)
    assert door is not None
    assert (door.port, door.names) == (8443, ("localhost", "twin.example.org"))


@pytest.mark.parametrize("command", [["twin", "field.toml"], ["cloud"]])
def test_the_commands_refuse_an_open_door(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    scenario(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([*command, "--port", "0", "--out", "out", "--host", "0.0.0.0"])
    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert "it needs a certificate (--pki DIR" in said
    assert "and a password (--password-file FILE" in said


def test_a_password_is_kept_as_what_scrypt_makes_of_it(tmp_path: Path) -> None:
    file = tmp_path / "password"
    command = [sys.executable, "-m", "levada", "page-password", str(file)]
    done = subprocess.run(
        command, input=WORD + "\n", capture_output=True, text=True, check=True, timeout=120
    )
    assert WORD not in done.stdout + done.stderr + file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = json.loads(file.read_text())
    # RFC 7914 by the library itself
    digest = hashlib.scrypt(
        WORD.encode(), salt=bytes.fromhex(kept["salt"]), n=32768, r=8, p=3, maxmem=64 << 20
    )
    assert kept["digest"] == digest.hex()
    password = read_password(file)
    assert password.matches(WORD)
    assert not password.matches(WORD + " ")
    assert not password.matches("x" * 10_000)


def test_a_short_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="11 characters: 12 to 256 are permitted"):
        write_password(tmp_path / "password", "elevenchars")
    assert list(tmp_path.iterdir()) == []
