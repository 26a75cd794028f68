"""The ESP-IDF project fetches a module over MQTT (`modules.c`), from what a sender says by ours."""

from __future__ import annotations

import ctypes
import hashlib
import json
import shutil
from base64 import b64encode
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from test_esp_idf_field import CONNECTED, DATA, DISCONNECTED, Field, compiled

from levada.hil.update.package import ModulePackage
from levada.twin.mqtt.messages import OtaRequest, OtaState, OtaWant, decode
from levada.twin.ota.chunks import chunk_payload

SAID = "ic/field7/ota/"
NEW = bytes(range(256)) * 7  # 1,792 bytes: two parts
NONE: dict[str, Any] = {}


def parameter(**change: Any) -> dict[str, Any]:
    """A declaration, but for what is changed."""
    usual = {"id": 1, "name": "pause_s", "unit": "s", "minimum": 0, "maximum": 100, "default": 10}
    return usual | change


def declaring(*parameters: dict[str, Any]) -> bytes:
    """A module with nothing but its metadata."""
    said = json.dumps({"name": "guest", "parameters": parameters}).encode()
    body = b"\x06levada" + said
    assert 127 < len(body) < 16_384
    return b"\0asm\1\0\0\0\0" + bytes([len(body) & 127 | 128, len(body) >> 7]) + body


class Site:
    """A board and whoever sends it a module."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._library = library
        self._folder = folder
        self._copies = 0
        self.now_ms = 0
        self.wants: list[OtaWant] = []
        self.states: list[OtaState] = []
        self.start()

    def start(self) -> None:
        """A board as it is after a start."""
        self._copies += 1
        copy = shutil.copy(self._library, self._folder / f"{self._copies}.so")
        self.field = Field(Path(copy))
        self.code = self.field._code
        self.code.paper_flash.restype = ctypes.c_void_p
        self.code.paper_step.restype = ctypes.c_bool
        self.code.paper_in_use.restype = ctypes.c_uint32
        self.connect()

    def connect(self) -> None:
        self.field.event(CONNECTED)
        self.serve()

    def restart(self) -> None:
        """The power goes and comes again."""
        flash = self.code.paper_flash()
        self.start()
        self.code.paper_restart(ctypes.c_void_p(flash))
        self.serve()

    def serve(self, pass_ms: int = 1) -> None:
        """Time passes; keep what the board says."""
        self.now_ms += pass_ms
        for topic, message in self.field.serve(self.now_ms):
            text = json.dumps(message).encode()
            if topic == SAID + "want":
                self.wants.append(decode(OtaWant, text))
            if topic == SAID + "state":
                self.states.append(decode(OtaState, text))

    def step(self, trap: int = 0) -> bool:
        """The guest runs once; whether on trial."""
        self.now_ms += 1000
        on_trial = bool(self.code.paper_step(self.now_ms, trap))
        self.serve()
        return on_trial

    def ask(self, package: ModulePackage, action: str = "install", **change: Any) -> None:
        request = {
            "id": package.id,
            "action": action,
            "attempt": "a",
            "size": len(package.module),
            "sha256": package.sha256,
            "envelope": b64encode(package.envelope).decode(),
        }
        text = OtaRequest.model_validate(request | change).encode()
        self.field.event(DATA, SAID + "request", text)
        self.serve()

    def part(self, want: OtaWant, payload: bytes, transfer: str = "") -> None:
        place = f"chunk/{transfer or want.id}/{want.offset}"
        self.field.event(DATA, SAID + place, payload)
        self.serve()

    def answer(self, package: ModulePackage) -> None:
        """Send the part that was asked for last."""
        want = self.wants[-1]
        self.part(want, chunk_payload(package.module[want.offset :][: want.bytes]))

    def bring(self, package: ModulePackage, **change: Any) -> None:
        """All of it, up to where its trial waits."""
        self.ask(package, **change)
        while self.states[-1].state == "DOWNLOADING":
            self.answer(package)

    @property
    def last(self) -> tuple[str, str]:
        """State and reason that were told last."""
        return self.states[-1].state.value, self.states[-1].reason

    def runs(self, module: bytes) -> bool:
        first = hashlib.sha256(module).digest()[:4]
        return bool(self.code.paper_in_use() == int.from_bytes(first, "little"))

    def sealed(self, module: bytes, counter: int, key: int = 0) -> ModulePackage:
        out = (ctypes.c_uint8 * 1024)()
        size = self.code.paper_seal(module, len(module), counter, key, out)
        return ModulePackage(module=module, envelope=bytes(out[:size]))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("modules"), "-DCONFIG_LEVADA_MQTT_ACKNOWLEDGED=1")


@pytest.fixture
def site(library: Path, tmp_path: Path) -> Site:
    return Site(library, tmp_path)


def package(module: bytes = NEW) -> ModulePackage:
    return ModulePackage(module=module)


def test_a_module_is_asked_for_part_by_part_tried_and_taken(site: Site) -> None:
    site.bring(package(), trial_steps=2)
    assert [(want.offset, want.bytes) for want in site.wants] == [(0, 1024), (1024, 768)]
    assert [(s.state.value, s.received, s.size) for s in site.states] == [
        ("DOWNLOADING", 0, 1792),
        ("VERIFIED", 1792, 1792),
    ]
    assert not site.runs(NEW)
    assert [site.step(), site.step()] == [True, False]
    assert [state.state.value for state in site.states[2:]] == ["UPDATING", "UPDATED"]
    said = site.states[-1]
    assert (said.id, said.attempt) == (package().id, "a")
    assert said.guest_sha256 == hashlib.sha256(NEW).hexdigest()
    assert site.runs(NEW)
    site.ask(package())  # repeated: only answered
    site.ask(package(), attempt="b")  # another attempt: there is nothing to be done
    assert site.last == ("UPDATED", "")
    assert len(site.wants) == 2


def test_one_that_traps_on_trial_is_given_up_and_barred(site: Site) -> None:
    site.bring(package())
    assert site.step(trap=1) is False
    assert site.last == ("FAILED", "TRAP")
    assert not site.runs(NEW)
    site.ask(package())
    assert site.last == ("FAILED", "TRAP")
    site.ask(package(), attempt="b")
    site.answer(package())
    assert len(site.states) >= 3 and site.last[0] == "FAILED"


def test_what_is_lost_on_the_way_is_asked_for_again_ever_more_seldom(site: Site) -> None:
    site.ask(package())
    asked = [site.now_ms]
    while len(asked) < 7:
        before = len(site.wants)
        site.serve(100)
        asked += [site.now_ms] * (len(site.wants) - before)
    waits = [b - a for a, b in pairwise(asked)]
    assert waits == [500, 1000, 2000, 4000, 5000, 5000]
    assert {want.offset for want in site.wants} == {0}
    site.answer(package())
    assert (site.wants[-1].offset, site.wants[-1].bytes) == (1024, 768)


def test_what_was_not_asked_for_is_ignored(site: Site) -> None:
    site.ask(package())
    [first] = site.wants
    data = chunk_payload(NEW[:1024])
    site.part(first, data, transfer="ab" * 16)
    site.part(OtaWant(id=first.id, offset=1024, bytes=768), chunk_payload(NEW[1024:]))
    assert site.wants == [first]
    site.part(first, data)
    site.part(first, data)  # once more
    assert [want.offset for want in site.wants] == [0, 1024]


@pytest.mark.parametrize(
    "payload", [b"", b"123", chunk_payload(NEW[:1024])[:-1], b"\1" + chunk_payload(NEW[:1024])[1:]]
)
def test_a_damaged_part_is_asked_for_again_five_times_at_most(site: Site, payload: bytes) -> None:
    site.ask(package())
    for times in range(2, 6):
        site.part(site.wants[0], payload)
        assert len(site.wants) == times
    assert site.last == ("DOWNLOADING", "")
    site.part(site.wants[0], payload)
    assert (site.last, len(site.wants)) == (("FAILED", "DIGEST"), 5)


def test_a_transfer_that_stalls_ends_and_another_attempt_goes_on(site: Site) -> None:
    site.ask(package())
    site.answer(package())
    for _ in range(119):
        site.serve(1000)
    assert site.last == ("DOWNLOADING", "")
    site.serve(1001)
    assert site.last == ("FAILED", "TIMEOUT")
    site.ask(package(), attempt="b")
    assert site.wants[-1].offset == 1024
    site.answer(package())
    assert site.last == ("VERIFIED", "")


def test_what_has_come_outlives_a_restart(site: Site) -> None:
    site.ask(package())
    site.answer(package())
    site.restart()
    site.ask(package())
    # the slot has what the first part brought; how much of it is trusted is for its digest to say
    site.bring(package())
    assert site.last == ("VERIFIED", "")


def test_wrong_bytes_under_a_right_crc_never_run(site: Site) -> None:
    site.ask(package())
    site.answer(package())
    site.answer(package(NEW[:-1] + b"x"))
    assert site.last == ("FAILED", "DIGEST")
    assert site.step() is False and not site.runs(NEW)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "ab" * 16},
        {"sha256": None},
        {"size": 0},
        {"envelope": "AAAA"},
        {"envelope": "A" * 1024},
    ],
)
def test_a_request_that_is_none_is_ignored(site: Site, change: dict[str, Any]) -> None:
    site.ask(package(), **change)
    assert (site.wants, site.states) == ([], [])


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"id":7}', b'{"id":"ab","action":1}'])
def test_what_is_no_request_is_ignored(site: Site, text: bytes) -> None:
    site.field.event(DATA, SAID + "request", text)
    site.serve()
    assert (site.wants, site.states) == ([], [])


def test_one_that_does_not_fit_the_slot_is_refused(site: Site) -> None:
    site.ask(package(bytes(2049)))
    assert site.last == ("FAILED", "SIZE")


def test_another_offer_meanwhile_finds_it_busy(site: Site) -> None:
    site.ask(package())
    other = package(b"other" * 100)
    site.ask(other, attempt="o")
    said = site.states[-1]
    assert (said.id, said.attempt, site.last) == (other.id, "o", ("FAILED", "BUSY"))
    site.bring(package())
    assert site.last == ("VERIFIED", "")


def test_an_abort_ends_it_wherever_it_is(site: Site) -> None:
    site.ask(package())
    site.ask(package(), "abort")
    assert site.last == ("FAILED", "ABORTED")
    site.bring(package(), attempt="b")
    assert site.step() is True
    site.ask(package(), "abort", attempt="b")
    assert site.last == ("FAILED", "ABORTED")
    assert site.step() is False and not site.runs(NEW)
    site.bring(package(), attempt="c", trial_steps=1)
    site.step()
    site.ask(package(), "abort", attempt="c")
    assert site.last == ("UPDATED", "") and site.runs(NEW)
    assert site.states[-1].text == "an abort comes too late: it is committed"


def test_who_asks_hears_where_it_stands(site: Site) -> None:
    site.ask(package(), "status", id="12" * 8)
    [said] = site.states
    assert (said.id, said.state.value, said.counter) == (None, "UPDATED", None)
    assert said.guest_sha256 == hashlib.sha256(bytes(16)).hexdigest()


def test_it_says_where_it_stands_every_five_seconds_and_at_each_connection(site: Site) -> None:
    site.bring(package())
    told = len(site.states)
    for _ in range(4):
        site.serve(1000)
    assert len(site.states) == told
    site.serve(1000)
    assert len(site.states) == told + 1
    site.field.event(DISCONNECTED)
    site.serve(20_000)
    assert len(site.states) == told + 1
    site.connect()
    assert len(site.states) == told + 2
    assert site.last == ("VERIFIED", "")


def test_a_connection_that_comes_back_goes_on_where_it_was_lost(site: Site) -> None:
    site.ask(package())
    site.answer(package())
    site.field.event(DISCONNECTED)
    site.serve(10_000)
    site.connect()
    assert site.wants[-1].offset == 1024
    site.answer(package())
    assert site.last == ("VERIFIED", "")


def test_a_restart_in_the_trial_ends_it_and_is_told_to_who_asks_again(site: Site) -> None:
    site.bring(package())
    assert site.step() is True
    site.restart()
    assert not site.runs(NEW)
    for _ in range(2):
        site.ask(package())
        assert site.last == ("FAILED", "RESTART")
    assert len(site.wants) == 2
    site.bring(package(), attempt="b")
    assert site.last == ("VERIFIED", "")


def test_after_a_restart_the_module_that_was_taken_is_known(site: Site) -> None:
    site.bring(package(), trial_steps=1)
    site.step()
    site.restart()
    site.ask(package())
    assert (*site.last, site.states[-1].text) == ("UPDATED", "", "it runs already")
    assert site.runs(NEW)


def test_a_device_with_keys_takes_what_is_signed_and_newer(site: Site) -> None:
    site.code.paper_trust()
    refused = [
        (package(), "SIGNATURE"),
        (site.sealed(NEW, 5, key=2), "SIGNATURE"),
    ]
    for offered, reason in refused:
        site.ask(offered)
        assert site.last == ("FAILED", reason)
    newer = site.sealed(NEW, 5)
    site.bring(newer, trial_steps=1)
    site.step()
    assert (site.last, site.states[-1].counter) == (("UPDATED", ""), 5)
    site.ask(site.sealed(b"older" * 100, 4))
    assert site.last == ("FAILED", "ROLLBACK")
    site.ask(newer, attempt="b")
    assert site.last == ("UPDATED", "")


@pytest.mark.parametrize(
    ("change", "carried"),
    [
        (NONE, True),
        ({"default": 20}, True),
        ({"id": 2}, False),
        ({"name": "pause"}, False),
        ({"minimum": 1}, False),
        ({"maximum": 99}, False),
        ({"unit": "min"}, False),
    ],
)
def test_a_value_that_was_set_holds_for_a_module_that_declares_it_alike(
    site: Site, change: dict[str, Any], carried: bool
) -> None:
    """The rule of `levada.hil.update.carried`: id, name, range and unit."""
    other = parameter(id=0, name="other")
    old, new = declaring(other, parameter()), declaring(parameter(**change), other | {"maximum": 7})
    site.code.paper_install(old, len(old))
    assert site.code.paper_keep(1, 33) == 0
    site.bring(package(new))
    assert site.last == ("VERIFIED", "")
    assert bool(site.code.paper_carried()) is carried
