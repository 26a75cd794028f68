"""The ESP-IDF project's line over MQTT, with client, network and stream buffer made of paper.

As esp-mqtt does, the client hands over a payload longer than its buffer in pieces, of which only
the first names the topic.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from levada.hil.wire.codec import encode_frame
from levada.hil.wire.messages import Ping

FIRMWARE = Path(__file__).parents[2] / "levada/firmware"
MAIN = FIRMWARE / "port" / "esp-idf" / "main"

PAPER = {
    "sdkconfig.h": """
        #define CONFIG_LEVADA_WATCHDOG_S 10
        #define CONFIG_LEVADA_TLS_BUNDLE 1
    """,
    "esp_check.h": "#define ESP_ERROR_CHECK(x) do { if (x) __builtin_trap(); } while (0)",
    "esp_crt_bundle.h": "int esp_crt_bundle_attach(void *configuration);",
    "esp_log.h": """
        void paper_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
        #define ESP_LOGW(tag, ...) ((void)(tag), paper_log(__VA_ARGS__))
        #define ESP_LOGE(tag, ...) ((void)(tag), paper_log(__VA_ARGS__))
    """,
    "freertos/FreeRTOS.h": "#define pdMS_TO_TICKS(ms) (ms)",
    "freertos/task.h": "void vTaskDelay(unsigned ticks);",
    "freertos/stream_buffer.h": """
        #include <stddef.h>
        typedef struct paper_stream *StreamBufferHandle_t;
        StreamBufferHandle_t xStreamBufferCreate(size_t size, size_t trigger);
        size_t xStreamBufferSpacesAvailable(StreamBufferHandle_t stream);
        size_t xStreamBufferSend(StreamBufferHandle_t s, const void *data, size_t n, unsigned wait);
        size_t xStreamBufferReceive(StreamBufferHandle_t s, void *data, size_t n, unsigned wait);
    """,
    "mqtt_client.h": """
        #include <stdbool.h>
        #include <stddef.h>
        #include <stdint.h>
        enum { ESP_OK, ESP_ERR_NO_MEM = 0x101, ESP_EVENT_ANY_ID = -1 };
        typedef const char *esp_event_base_t;
        typedef void (*esp_event_handler_t)(void *, esp_event_base_t, int32_t, void *);
        typedef struct paper_client *esp_mqtt_client_handle_t;
        typedef enum {
            MQTT_EVENT_ERROR, MQTT_EVENT_CONNECTED, MQTT_EVENT_DISCONNECTED, MQTT_EVENT_DATA,
            MQTT_EVENT_SUBSCRIBED, MQTT_EVENT_PUBLISHED,
        } esp_mqtt_event_id_t;
        enum { MQTT_ERROR_TYPE_NONE, MQTT_ERROR_TYPE_SUBSCRIBE_FAILED };
        typedef struct { int error_type; } esp_mqtt_error_codes_t;
        typedef struct {
            esp_mqtt_event_id_t event_id;
            esp_mqtt_client_handle_t client;
            char *data, *topic;
            int data_len, total_data_len, current_data_offset, topic_len, msg_id;
            bool retain;
            esp_mqtt_error_codes_t *error_handle;
        } esp_mqtt_event_t;
        typedef struct {
            struct {
                struct { const char *uri; } address;
                struct { const char *certificate; int (*crt_bundle_attach)(void *); } verification;
            } broker;
            struct {
                const char *client_id, *username;
                struct { const char *password, *certificate, *key; } authentication;
            } credentials;
            struct {
                struct { const char *topic, *msg; int msg_len, qos; } last_will;
                bool disable_clean_session;
                int keepalive;
            } session;
            struct { int timeout_ms, reconnect_timeout_ms; } network;
            struct { int size; } buffer;
        } esp_mqtt_client_config_t;
        esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *config);
        int esp_mqtt_client_register_event(esp_mqtt_client_handle_t client, int32_t event,
                                           esp_event_handler_t handler, void *context);
        int esp_mqtt_client_start(esp_mqtt_client_handle_t client);
        int esp_mqtt_client_disconnect(esp_mqtt_client_handle_t client);
        int esp_mqtt_client_stop(esp_mqtt_client_handle_t client);
        int esp_mqtt_client_destroy(esp_mqtt_client_handle_t client);
        int esp_mqtt_client_subscribe_single(esp_mqtt_client_handle_t client, const char *topic,
                                             int qos);
        int esp_mqtt_client_publish(esp_mqtt_client_handle_t client, const char *topic,
                                    const char *data, int length, int qos, int retain);
    """,
    "paper.c": r"""
        #include <stdarg.h>
        #include <stdio.h>
        #include <string.h>
        #include "esp_log.h"
        #include "freertos/stream_buffer.h"
        #include "freertos/task.h"
        #include "mqtt_client.h"
        #include "settings.h"
        #include "wifi.h"
        struct paper_client { esp_mqtt_client_config_t config; };
        struct paper_stream { size_t size, used; };
        static struct paper_client the_client;
        static struct paper_stream the_stream;
        static uint8_t stored[1 << 16];
        static esp_event_handler_t handler;
        static settings known = {.node = "field7", .uri = "mqtt://broker"};
        bool paper_network = true;
        int paper_buffer, paper_error, paper_network_ms;
        static const char *part(const char *text) { return text ? text : "-"; }
        void paper_set(const char *uri, const char *ca, const char *cert, const char *key)
        {
            snprintf(known.uri, sizeof known.uri, "%s", uri);
            snprintf(known.ca, sizeof known.ca, "%s", ca);
            snprintf(known.cert, sizeof known.cert, "%s", cert);
            snprintf(known.key, sizeof known.key, "%s", key);
        }
        char paper_trust[1024];
        char paper_said[1024], paper_subscribed[1024], paper_published[4096];

        void paper_log(const char *format, ...)
        {
            va_list arguments;
            size_t used = strlen(paper_said);
            va_start(arguments, format);
            vsnprintf(paper_said + used, sizeof paper_said - used, format, arguments);
            va_end(arguments);
            strncat(paper_said, "\n", sizeof paper_said - strlen(paper_said) - 1);
        }
        void vTaskDelay(unsigned ticks) { (void)ticks; }
        void wifi_begin(void) {}
        bool wifi_provision(bool wait) { return wait && paper_network; }
        bool wifi_up(int longest_s) { (void)longest_s; return true; }
        void wifi_stay_awake(void) {}
        const settings *settings_load(void) { return &known; }
        int esp_crt_bundle_attach(void *configuration) { (void)configuration; return 0; }

        StreamBufferHandle_t xStreamBufferCreate(size_t size, size_t trigger)
        {
            the_stream = (struct paper_stream){.size = size};
            return trigger == 1 && size <= sizeof stored ? &the_stream : NULL;
        }
        size_t xStreamBufferSpacesAvailable(StreamBufferHandle_t s) { return s->size - s->used; }
        size_t xStreamBufferSend(StreamBufferHandle_t s, const void *data, size_t n, unsigned ticks)
        {
            (void)ticks;
            if (n > s->size - s->used)
                n = s->size - s->used;
            memcpy(stored + s->used, data, n);
            s->used += n;
            return n;
        }
        size_t xStreamBufferReceive(StreamBufferHandle_t s, void *data, size_t n, unsigned ticks)
        {
            (void)ticks;
            if (n > s->used)
                n = s->used;
            memcpy(data, stored, n);
            memmove(stored, stored + n, s->used - n);
            s->used -= n;
            return n;
        }

        esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *config)
        {
            the_client.config = *config;
            snprintf(paper_trust, sizeof paper_trust, "%s %s %s %d",
                     part(config->broker.verification.certificate),
                     part(config->credentials.authentication.certificate),
                     part(config->credentials.authentication.key),
                     config->broker.verification.crt_bundle_attach != NULL);
            paper_buffer = config->buffer.size;
            paper_network_ms = config->network.timeout_ms;
            return &the_client;
        }
        int esp_mqtt_client_register_event(esp_mqtt_client_handle_t client, int32_t event,
                                           esp_event_handler_t on_event, void *context)
        { (void)context; handler = on_event; return client != &the_client || event != -1; }
        int esp_mqtt_client_start(esp_mqtt_client_handle_t client) { return client != &the_client; }
        int esp_mqtt_client_destroy(esp_mqtt_client_handle_t client) { return client == NULL; }
        int esp_mqtt_client_subscribe_single(esp_mqtt_client_handle_t client, const char *topic,
                                             int qos)
        {
            size_t used = strlen(paper_subscribed);
            snprintf(paper_subscribed + used, sizeof paper_subscribed - used, "%s %d\n", topic,
                     qos);
            return client == &the_client ? 1 : -1;
        }
        int esp_mqtt_client_publish(esp_mqtt_client_handle_t client, const char *topic,
                                    const char *data, int length, int qos, int retain)
        {
            size_t used = strlen(paper_published);
            used += (size_t)snprintf(paper_published + used, sizeof paper_published - used,
                                     "%s %d %d ", topic, qos, retain);
            for (int k = 0; k < length; k++)
                used += (size_t)snprintf(paper_published + used, sizeof paper_published - used,
                                         "%02x", (unsigned char)data[k]);
            snprintf(paper_published + used, sizeof paper_published - used, "\n");
            return client == &the_client ? 0 : -1;
        }
        void paper_event(int id, char *topic, char *data, int length, int total, int offset,
                         bool retain)
        {
            esp_mqtt_error_codes_t error = {paper_error};
            esp_mqtt_event_t event = {
                .event_id = (esp_mqtt_event_id_t)id, .error_handle = &error,
                .client = &the_client, .topic = topic, .topic_len = topic ? (int)strlen(topic) : 0,
                .data = data, .data_len = length, .total_data_len = total,
                .current_data_offset = offset, .retain = retain,
            };
            handler(NULL, "", id, &event);
        }
    """,
}
CONNECTED, DISCONNECTED, DATA, SUBSCRIBED = 1, 2, 3, 4
NO_ERROR, REFUSED = 0, 1
FROM_HOST, TO_HOST = "ic/field7/link/host", "ic/field7/link/device"
BUFFER = 4096


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, which a test copies, so that each has variables of its own."""
    folder = tmp_path_factory.mktemp("paper")
    for name, content in PAPER.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    library = folder / "line.so"
    flags = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    files = [MAIN / "line_mqtt.c", MAIN / "broker.c", folder / "paper.c"]
    subprocess.run(["cc", *flags, "-I", folder, "-I", MAIN, "-o", library, *files], check=True)
    return library


class PaperLine:
    """The line's sources; the test is the broker."""

    def __init__(
        self, library: Path, *, network: bool = True, known: tuple[bytes, ...] = ()
    ) -> None:
        """`known` are the settings uri, ca, cert and key, if others than a broker's alone."""
        self._code = ctypes.CDLL(str(library))
        if known:
            self._code.paper_set(*known)
        self._code.line_read.restype = ctypes.c_size_t
        self._code.line_read.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32]
        self._code.line_write.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        ctypes.c_bool.in_dll(self._code, "paper_network").value = network
        self._code.line_begin()

    def happens(self, event: int, error: int = NO_ERROR) -> None:
        ctypes.c_int.in_dll(self._code, "paper_error").value = error
        self._code.paper_event(event, None, None, 0, 0, 0, False)

    def comes(
        self,
        payload: bytes,
        topic: str = FROM_HOST,
        *,
        piece: int = 0,
        cut: int | None = None,
        retained: bool = False,
    ) -> None:
        """A payload, in pieces of that size, and no more than `cut` of them."""
        size = piece or max(len(payload), 1)
        for offset in [*range(0, max(len(payload), 1), size)][:cut]:
            part = payload[offset : offset + size]
            name = topic.encode() if offset == 0 else None
            self._code.paper_event(DATA, name, part, len(part), len(payload), offset, retained)

    def read(self, size: int = BUFFER) -> bytes:
        room = ctypes.create_string_buffer(size)
        length = self._code.line_read(room, size, 50)
        return room.raw[:length]

    def write(self, data: bytes) -> int:
        return int(self._code.line_write(data, len(data)))

    def text(self, name: str) -> list[str]:
        """Lines of what was `said` to the log, `subscribed`, `published`."""
        room = (ctypes.c_char * 4096).in_dll(self._code, f"paper_{name}")
        return room.value.decode().splitlines()

    def number(self, name: str) -> int:
        return ctypes.c_int.in_dll(self._code, f"paper_{name}").value


@pytest.fixture
def line(source: Path, tmp_path: Path) -> Iterator[PaperLine]:
    own = tmp_path / "line.so"
    own.write_bytes(source.read_bytes())
    made = PaperLine(own)
    made.happens(CONNECTED)
    yield made


@pytest.mark.parametrize(
    ("known", "trust"),
    [
        ((b"mqtts://b", b"CA", b"CERT", b"KEY"), "CA CERT KEY 0"),
        ((b"mqtts://b", b"CA", b"", b""), "CA - - 0"),
        ((b"mqtts://b", b"", b"CERT", b"KEY"), "- CERT KEY 1"),
        ((b"mqtts://b", b"", b"", b""), "- - - 1"),
        ((b"mqtt://b", b"CA", b"", b""), "- - - 0"),
    ],
)
def test_the_client_is_given_whom_to_trust_and_who_it_is(
    source: Path, tmp_path: Path, known: tuple[bytes, ...], trust: str
) -> None:
    own = tmp_path / "line.so"
    own.write_bytes(source.read_bytes())
    assert PaperLine(own, known=known).text("trust") == [trust]


@pytest.mark.parametrize("half", [(b"CERT", b""), (b"", b"KEY")])
def test_half_an_identity_is_none(source: Path, tmp_path: Path, half: tuple[bytes, ...]) -> None:
    own = tmp_path / "line.so"
    own.write_bytes(source.read_bytes())
    line = PaperLine(own, known=(b"mqtts://b", b"CA", *half))
    assert "set cert and key" in "".join(line.text("said"))
    assert line.text("trust") == []


def test_frames_of_the_host_come_out_as_they_went_in(line: PaperLine) -> None:
    first = encode_frame(Ping.TYPE, 1, Ping(data=b"one").encode())
    second = encode_frame(Ping.TYPE, 2, Ping(data=bytes(900)).encode())
    line.comes(first)
    line.comes(second[:300])
    line.comes(second[300:])
    assert line.read(5) == first[:5]
    assert line.read() == first[5:] + second
    assert line.read() == b""


def test_a_payload_longer_than_the_clients_buffer_comes_in_pieces(line: PaperLine) -> None:
    payload = bytes(range(256)) * 12
    line.comes(payload, piece=1000)
    assert line.read() == payload


def test_a_frame_of_the_longest_kind_is_one_packet(line: PaperLine) -> None:
    longest = len(encode_frame(Ping.TYPE, 1, Ping(data=bytes(1024)).encode()))
    head = 5 + 2 + len(TO_HOST)  # MQTT 3.1.1: fixed header, length of the topic, topic
    assert line.number("buffer") >= head + longest


@pytest.mark.parametrize(
    "topic",
    ["ic/field7/link/device", "ic/field7/link/hos", "ic/field7/link/host/x", "ic/field8/link/host"],
)
def test_other_topics_are_not_the_line(line: PaperLine, topic: str) -> None:
    line.comes(bytes(2500), topic, piece=1000)
    assert line.read() == b""


def test_what_a_broker_has_kept_is_not_the_line(line: PaperLine) -> None:
    line.comes(bytes(2500), piece=1000, retained=True)
    line.comes(b"new")
    assert line.read() == b"new"


def test_an_empty_payload_is_nothing(line: PaperLine) -> None:
    line.comes(b"")
    assert line.read() == b""


def test_a_payload_that_a_lost_connection_cut_short_opens_the_line_to_no_other(
    line: PaperLine,
) -> None:
    line.comes(b"first, second", piece=5, cut=1)
    line.happens(DISCONNECTED)
    line.happens(CONNECTED)
    line.comes(b"not ours", "ic/field8/link/host", piece=3)
    line.comes(b"ours")
    assert line.read() == b"first" + b"ours"


def test_what_has_no_room_is_dropped_with_all_that_follows_of_its_payload(line: PaperLine) -> None:
    line.comes(b"a" * (BUFFER - 10))
    line.comes(b"b" * 30, piece=8)  # 8 fit, 8 do not, and then nothing more is taken
    assert line.read() == b"a" * (BUFFER - 10) + b"b" * 8
    line.comes(b"c")
    assert line.read() == b"c"
    assert line.text("said") == ["no room for 30 bytes: 1 payloads dropped so far"]


def test_a_flood_is_counted_and_hardly_logged(line: PaperLine) -> None:
    line.comes(bytes(BUFFER))
    for _ in range(1000):
        line.comes(b"more")
    assert len(line.read()) == BUFFER
    assert [said.split()[5] for said in line.text("said")] == [str(1 << k) for k in range(10)]


def test_answers_leave_at_once_once_and_are_not_kept(line: PaperLine) -> None:
    assert line.write(b"\x00\x01\xff\x00") == 0
    assert line.text("published") == [f"{TO_HOST} 0 0 0001ff00"]


def test_without_a_connection_nothing_is_sent_and_nobody_waits(line: PaperLine) -> None:
    line.happens(DISCONNECTED)
    assert line.write(b"\x00\x01\x00") == -1
    line.happens(CONNECTED)
    assert line.write(b"\x00\x02\x00") == 0
    assert line.text("published") == [f"{TO_HOST} 0 0 000200"]


def test_each_connection_asks_for_the_hosts_topic_alone(line: PaperLine) -> None:
    line.happens(DISCONNECTED)
    line.happens(CONNECTED)
    assert line.text("subscribed") == [f"{FROM_HOST} 0"] * 2


def test_a_broker_that_does_not_let_it_read_is_said_to(line: PaperLine) -> None:
    line.happens(SUBSCRIBED)
    assert line.text("said") == []
    line.happens(SUBSCRIBED, REFUSED)
    assert line.text("said") == [
        "the broker does not let this user read ic/field7/...: nothing will come"
    ]


def test_waiting_twice_for_the_network_takes_less_than_the_watchdogs_time(line: PaperLine) -> None:
    assert 2 * line.number("network_ms") < 10_000


def test_a_board_without_a_network_says_so_and_hears_nothing(source: Path, tmp_path: Path) -> None:
    own = tmp_path / "line.so"
    own.write_bytes(source.read_bytes())
    alone = PaperLine(own, network=False)
    assert alone.read() == b""
    assert alone.write(b"\x00") == -1
    assert alone.text("said") == [
        "no network or no broker: no host can reach it until it is restarted"
    ]
