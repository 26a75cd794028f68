"""The ESP-IDF project's telemetry: `mqtt.c` with client and queue made of paper (`field.c`)."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from device_bench import CORE
from test_esp_idf_line import PAPER as LINE_PAPER

HERE = Path(__file__).parent
FIRMWARE = HERE.parents[1] / "levada/firmware"
MAIN = FIRMWARE / "port" / "esp-idf" / "main"
KEPT = ("esp_check.h", "esp_crt_bundle.h", "freertos/task.h", "mqtt_client.h")
PAPER = {name: LINE_PAPER[name] for name in KEPT} | {
    "sdkconfig.h": """
        #define CONFIG_LEVADA_WATCHDOG_S 10
        #define CONFIG_LEVADA_TLS_BUNDLE 1
    """,
    "esp_log.h": """
        #define ESP_LOGW(tag, ...) (void)(tag)
        #define ESP_LOGE(tag, ...) (void)(tag)
    """,
    "esp_attr.h": "#define RTC_DATA_ATTR\n",
    "esp_random.h": "#include <stdint.h>\nuint32_t esp_random(void);",
    "mbedtls/base64.h": """
        #include <stddef.h>
        int mbedtls_base64_decode(unsigned char *out, size_t size, size_t *used,
                                  const unsigned char *text, size_t length);
    """,
    "freertos/FreeRTOS.h": "#define pdMS_TO_TICKS(ms) (ms)\n#define pdTRUE 1\n",
    "freertos/queue.h": """
        #include <stddef.h>
        typedef void *QueueHandle_t;
        QueueHandle_t xQueueCreate(size_t length, size_t size);
        int xQueueSend(QueueHandle_t queue, const void *item, unsigned ticks);
        int xQueueReceive(QueueHandle_t queue, void *item, unsigned ticks);
    """,
}
PORT = ("mqtt", "broker", "calibration", "metadata", "modules")
CONNECTED, DISCONNECTED, DATA, PUBLISHED = 1, 2, 3, 5
PATIENCE_MS, AGAIN_MS = 5_001, 30_001


class Field:
    """A board in the field."""

    def __init__(self, library: Path) -> None:
        self._code = ctypes.CDLL(str(library))
        self._code.paper_begin.restype = ctypes.c_bool
        self._said = (ctypes.c_char * (1 << 16)).in_dll(self._code, "paper_published")
        self._code.paper_boot()
        assert self._code.paper_begin()

    def begin(self) -> None:
        """A new client, as after each sleep."""
        self._code.mqtt_end()
        assert self._code.paper_begin()

    def event(self, kind: int, topic: str = "", text: bytes = b"", message: int = 0) -> None:
        self._code.paper_event(kind, topic.encode(), text, len(text), message)

    def put(self, count: int, topic: str = "data", message: str = "{}") -> None:
        for _ in range(count):
            self._code.paper_put(topic.encode(), message.encode())

    def serve(self, at_ms: int) -> list[tuple[str, Any]]:
        """Let it work; what it has published."""
        self._said.value = b""
        self._code.paper_serve(at_ms)
        parts = [line.partition(" ") for line in self._said.value.decode().splitlines()]
        return [(topic, json.loads(text)) for topic, _, text in parts]

    def sequences(self, at_ms: int) -> list[int]:
        """Numbers of the telemetry that leaves then."""
        return [m["seq"] for topic, m in self.serve(at_ms) if topic == "ic/field7/data"]

    @property
    def waiting(self) -> int:
        return int(self._code.paper_waiting())

    @property
    def reconnect_ms(self) -> int:
        return ctypes.c_int.in_dll(self._code, "paper_reconnect_ms").value


def compiled(folder: Path, *flags: str) -> Path:
    for name, content in PAPER.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    library = folder / "field.so"
    port = [MAIN / f"{name}.c" for name in PORT]
    sources = [*CORE, *port, HERE / "fake.c", HERE / "signer.c", HERE / "field.c"]
    include = [f"-I{path}" for path in (folder, MAIN, FIRMWARE / "core", HERE)]
    warn = ["-std=gnu17", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *warn, *flags, *include, "-o", library, *sources], check=True)
    return library


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("field"), "-DCONFIG_LEVADA_MQTT_ACKNOWLEDGED=1")


@pytest.fixture
def field(library: Path, tmp_path: Path) -> Field:
    """A copy is another library, with variables of its own."""
    return Field(Path(shutil.copy(library, tmp_path)))


@pytest.fixture
def unacknowledged(tmp_path: Path) -> Field:
    """Built to be content with the broker's confirmation."""
    return Field(compiled(tmp_path, "-DCONFIG_LEVADA_MQTT_ACKNOWLEDGED=0"))


def test_what_is_newer_leaves_although_nobody_acknowledges_the_oldest(field: Field) -> None:
    field.put(12)
    field.event(CONNECTED)
    assert field.sequences(0) == [*range(1, 9)]
    assert field.sequences(1_000) == []
    assert field.sequences(PATIENCE_MS) == [*range(9, 13)]
    field.put(1)
    assert field.sequences(PATIENCE_MS + 1) == [13]
    assert field.sequences(AGAIN_MS) == [*range(1, 9)]
    assert field.waiting == 13


def test_a_message_says_when_it_was_sent_first_and_a_repetition_does_not(field: Field) -> None:
    field.put(1)
    field.event(CONNECTED)
    ((_, first),) = [m for m in field.serve(4_294_967_295) if m[0] == "ic/field7/data"]
    assert first["up_ms"] == 4_294_967_295
    field.event(DATA, "ic/field7/ask", b'{"what":"birth"}')
    field.serve(5)
    ((_, again),) = [m for m in field.serve(6) if m[0] == "ic/field7/data"]
    assert again == {name: value for name, value in first.items() if name != "up_ms"}


def test_an_acknowledgement_frees_the_ring_and_lets_more_leave(field: Field) -> None:
    field.put(12)
    field.event(CONNECTED)
    field.serve(0)
    field.event(DATA, "ic/field7/ack", b'{"boot":1,"seq":5}')
    field.event(DATA, "ic/field7/ack", b"[" * 2_000)
    assert field.sequences(1) == []  # heard in the same turn, after what was due
    assert field.sequences(2) == [9, 10, 11, 12]
    assert field.waiting == 7


def test_who_asks_for_the_birth_gets_what_waits_too(field: Field) -> None:
    field.put(3)
    field.event(CONNECTED)
    field.serve(0)
    field.event(DATA, "ic/field7/ask", b'{"what":"birth"}')
    ((topic, birth),) = field.serve(1)
    assert (topic, birth["state"], birth["boot"]) == ("ic/field7/status", "birth", 1)
    assert birth["counts"] == [2500, 1000, 2000]
    assert field.sequences(2) == [1, 2, 3]


def test_what_is_no_telemetry_leaves_once_and_is_done_with(field: Field) -> None:
    field.put(1)
    field.put(1, "pump", '{"on":1}')
    field.put(1)
    field.event(CONNECTED)
    assert [topic for topic, _ in field.serve(0)][1:] == [
        "ic/field7/data", "ic/field7/pump", "ic/field7/data"
    ]  # fmt: skip
    assert field.sequences(AGAIN_MS) == [1, 3]
    field.event(DATA, "ic/field7/ack", b'{"boot":1,"seq":1}')
    field.serve(AGAIN_MS + 1)
    field.serve(AGAIN_MS + 2)
    assert field.waiting == 1


def test_a_new_client_confirms_nothing_that_it_was_not_given(unacknowledged: Field) -> None:
    """The numbers of the client before were compared with none of the new one's, and fitted."""
    field = unacknowledged
    field.put(3)
    field.event(CONNECTED)
    field.serve(0)
    field.event(DISCONNECTED)
    field.begin()
    field.serve(1)
    assert field.waiting == 3
    field.event(CONNECTED)
    assert field.sequences(2) == [1, 2, 3]
    assert field.waiting == 3
    field.event(PUBLISHED, message=4)  # the birth was the first
    field.serve(3)
    assert field.waiting == 0


def test_a_calibration_is_answered(field: Field) -> None:
    field.event(CONNECTED)
    field.serve(0)
    field.event(DATA, "ic/field7/config", b'{"id":"7","limiar":1900}')
    assert field.serve(1) == [
        ("ic/field7/config/ack", {"id": "7", "ok": True, "values": {"limiar": 1900}})
    ]


def test_boards_do_not_all_come_back_at_once(field: Field) -> None:
    assert field.reconnect_ms == 5_000 + 4_321  # by chance, here made of paper
