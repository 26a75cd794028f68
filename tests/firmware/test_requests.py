"""JSON that reaches an ESP32: its own sources, compiled for this computer, against hostile texts.

The port's files and the core run on a board made of memory (`requests.c`), with ESP-IDF's headers
made of paper; whether a text is JSON, and what it says, is judged by Python's own reader.
"""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from device_bench import CORE
from vectors import damaged

HERE = Path(__file__).parent
FIRMWARE = HERE.parents[1] / "levada/firmware"
MAIN = FIRMWARE / "port" / "esp-idf" / "main"
DEPTH = 16
PAPER = {
    "sdkconfig.h": '#define CONFIG_LEVADA_NODE "esp32"\n#define CONFIG_LEVADA_MQTT_URI ""\n',
    "esp_check.h": "#define ESP_OK 0\n"
    "#define ESP_ERROR_CHECK(x) do { if (x) __builtin_trap(); } while (0)\n",
    "esp_log.h": "#define ESP_LOGW(tag, ...) (void)(tag)\n#define ESP_LOGE(tag, ...) (void)(tag)\n",
    "nvs.h": "#include <stddef.h>\n#include <stdint.h>\n"
    "typedef uint32_t nvs_handle_t;\nenum { NVS_READWRITE };\n"
    "int nvs_open(const char *space, int mode, nvs_handle_t *handle);\n"
    "int nvs_get_str(nvs_handle_t handle, const char *key, char *out, size_t *size);\n"
    "int nvs_get_blob(nvs_handle_t handle, const char *key, void *out, size_t *size);\n"
    "int nvs_set_str(nvs_handle_t handle, const char *key, const char *text);\n"
    "int nvs_set_blob(nvs_handle_t handle, const char *key, const void *bytes, size_t size);\n"
    "int nvs_commit(nvs_handle_t handle);\n",
}
SMALL_STACK = 16_384
"""Bytes, as the node's thread of an ESP32 has (LEVADA_STACK_BYTES)."""

Ask = Callable[[Sequence[tuple[str, bytes]]], list[str]]


def compiled(folder: Path, *flags: str) -> Path:
    for name, content in PAPER.items():
        (folder / name).write_text(content, "utf-8")
    program = folder / "requests"
    port = [MAIN / f"{name}.c" for name in ("calibration", "metadata", "settings")]
    sources = [*CORE, *port, HERE / "fake.c", HERE / "requests.c"]
    include = [f"-I{path}" for path in (folder, MAIN, FIRMWARE / "core", HERE)]
    command = ["cc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-O1", "-g", *flags, *include]
    subprocess.run([*command, "-o", program, *sources, "-lpthread"], check=True)
    return program


def asker(program: Path, *arguments: str) -> Ask:
    def ask(requests: Sequence[tuple[str, bytes]]) -> list[str]:
        said = b"".join(
            struct.pack("<I", len(text)) + kind.encode() + text for kind, text in requests
        )
        done = subprocess.run([program, *arguments], input=said, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        answers = done.stdout.decode().splitlines()
        assert len(answers) == len(requests)
        return answers

    return ask


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """The program under address and undefined-behaviour sanitizers."""
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return asker(compiled(tmp_path_factory.mktemp("requests"), *flags))


@pytest.fixture(scope="module")
def on_a_small_stack(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """The same in a thread with as much stack as on the board."""
    return asker(compiled(tmp_path_factory.mktemp("small")), str(SMALL_STACK))


def nested(depth: int) -> bytes:
    """A request whose `set` is nested so deep, itself included."""
    inner = depth - 2
    return b'{"id":"7","set":{"on_pct":' + b"[" * inner + b"1" + b"]" * inner + b"}}"


# --- what is asked and answered -------------------------------------------------------------------


def test_a_calibration_is_answered_with_what_is_in_force(ask: Ask) -> None:
    answers = ask(
        [
            ("c", b'{"id":"7","set":{"on_pct":35}}'),
            ("c", b'{"id":"\\u00e9\\ud83d\\ude00\\"","set":{"on_pct":101}}'),
            ("c", b'{"set":{"on_pct":36}}'),
            ("c", b' {\n"id" : "8" , "seco":2600, "molhado":1100,"limiar":1900}'),
            ("c", b'{"id":"9"}'),
        ]
    )
    assert json.loads(answers[0]) == {"id": "7", "ok": True, "values": {"on_pct": 35}}
    refused = json.loads(answers[1])
    assert (refused["id"], refused["ok"]) == ('é😀"', False)
    assert refused["error"].startswith("on_pct: the guest refuses this value")
    assert answers[2] == "-"
    counts = {"seco": 2600, "molhado": 1100, "limiar": 1900}
    assert json.loads(answers[3]) == {"id": "8", "ok": True, "values": counts}
    assert json.loads(answers[4]) == {"id": "9", "ok": True, "values": {}}


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (b'"set":{"on_pct":1.5}', "on_pct: a whole number"),
        (b'"set":{"on_pct":1e1}', "on_pct: a whole number"),
        (b'"set":{"on_pct":4294967296}', "on_pct: a whole number"),
        (b'"set":{"on_pct":' + b"9" * 400 + b"}", "on_pct: a whole number"),
        (b'"set":{"on_pct":"5"}', "on_pct: a whole number"),
        (b'"set":{"on_pct":null}', "on_pct: a whole number"),
        (b'"set":{"on":1}', "on: the guest has no such parameter"),
        (b'"set":{"' + b"x" * 300 + b'":1}', "a name too long: the guest has no such parameter"),
        (b'"set":{"on_pct\\u0000":1}', "the guest has no such parameter"),
        (b'"set":[]', "set: not known here"),
        (b'"seet":{}', "seet: not known here"),
        (b'"seco":4096', "seco: a whole number from 0 to 4095"),
        (b'"seco":-1', "seco: a whole number from 0 to 4095"),
        (b'"seco":1500,"molhado":1500', "molhado: the same as seco"),
        (b'"seco":1000', "molhado: the same as seco"),
        (b'"set":{' + b",".join(b'"on_pct":1' for _ in range(33)) + b"}", "too many parameters"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_reason_and_changes_nothing(
    ask: Ask, members: bytes, says: str
) -> None:
    answers = ask(
        [
            ("c", b'{"id":"1","set":{"on_pct":35}}'),
            ("c", b'{"id":"2","set":{"on_pct":36},' + members + b"}"),
            ("c", b'{"id":"3","set":{"on_pct":35},"limiar":2000}'),
        ]
    )
    refused = json.loads(answers[1])
    assert refused["ok"] is False and says in refused["error"]
    assert json.loads(answers[2])["values"] == {"on_pct": 35, "limiar": 2000}


def test_an_acknowledgement_counts_for_this_start_only(ask: Ask) -> None:
    assert ask(
        [
            ("a", b'{"boot":1,"seq":2}'),
            ("a", b'{"boot":2,"seq":5}'),
            ("a", b'{"boot":1,"seq":1e1}'),
            ("a", b'{"boot":1,"seq":4294967297}'),
            ("a", b'{"boot":1,"seq":-1}'),
            ("a", b'{"refused":"no"}'),
            ("a", b"[" * 1000),
        ]
    ) == ["1", "0", "0", "0", "0", "0", "0"]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (b'{"uri":"mqtts://broker","user":"me","password":"word","node":"field7"}', "1 4"),
        (b'{"ca":"A","cert":"B","key":"' + b"k" * 2047 + b'"}', "1 3"),
        (b'{"ca":"A","cert":"B","key":"' + b"k" * 2048 + b'"}', "0 0"),
        (b'{"uri":"mqtts://broker","colour":"red"}', "0 0"),
        (b'{"node":"a/b"}', "0 0"),
        (b'{"node":""}', "0 0"),
        (b'{"user":7}', "0 0"),
        (b'{"user":"' + b"u" * 64 + b'"}', "0 0"),
        (b'{"user":"a\\u0000b"}', "0 0"),
        (b'{"ca":' + b"[" * 990 + b"]" * 990 + b"}", "0 0"),
        (b"", "0 0"),
    ],
)
def test_settings_are_stored_as_a_whole_or_not_at_all(ask: Ask, text: bytes, stored: str) -> None:
    assert ask([("s", text)]) == [stored]


def test_certificates_can_be_built_in(tmp_path: Path) -> None:
    """What CMake embeds stands in the settings, unless provisioning has set another."""
    for name, content in PAPER.items():
        (tmp_path / name).write_text(content, "utf-8")
    (tmp_path / "nvs.h").write_text(
        PAPER["nvs.h"] + "#include <string.h>\n"
        'static inline int has(const char *key) { return strcmp(key, "key") == 0; }\n',
        "utf-8",
    )
    (tmp_path / "main.c").write_text(
        r"""
        #include <stdio.h>
        #include "nvs.h"
        #include "settings.h"
        const char ca[] __asm__("_binary_ca_pem_start") = "CA";
        const char cert[] __asm__("_binary_cert_pem_start") = "CERT";
        const char key[] __asm__("_binary_key_pem_start") = "KEY";
        int nvs_open(const char *s, int m, nvs_handle_t *h) { (void)s; (void)m; *h = 1; return 0; }
        int nvs_get_str(nvs_handle_t h, const char *k, char *out, size_t *size)
        {
            (void)h;
            if (has(k))
                *size = (size_t)snprintf(out, *size, "newer") + 1;
            return !has(k);
        }
        int nvs_get_blob(nvs_handle_t h, const char *k, void *o, size_t *s)
        { (void)h; (void)k; (void)o; (void)s; return 1; }
        int nvs_set_str(nvs_handle_t h, const char *k, const char *t)
        { (void)h; (void)k; (void)t; return 0; }
        int nvs_set_blob(nvs_handle_t h, const char *k, const void *b, size_t s)
        { (void)h; (void)k; (void)b; (void)s; return 0; }
        int nvs_commit(nvs_handle_t h) { (void)h; return 0; }
        int main(void)
        {
            const settings *s = settings_load();
            printf("%s %s %s", s->ca, s->cert, s->key);
        }
        """,
        "utf-8",
    )
    program = tmp_path / "embedded"
    include = [f"-I{path}" for path in (tmp_path, MAIN, FIRMWARE / "core", HERE)]
    flags = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-DCONFIG_LEVADA_PKI_EMBEDDED=1"]
    sources = [MAIN / "settings.c", *CORE, HERE / "fake.c", tmp_path / "main.c", "-lpthread"]
    subprocess.run(["cc", *flags, *include, "-o", program, *sources], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    assert done.stdout == "CA CERT newer"


# --- depth ----------------------------------------------------------------------------------------


def test_nesting_takes_no_stack_however_deep(on_a_small_stack: Ask) -> None:
    """A message of 2 KB, nested 990 deep, was the end of a board, and retained, of every start."""
    deep = [nested(depth) for depth in (17, 100, 990, 30_000)]
    deep += [b"[" * 2048, b'{"a":' * 400, b'{"id":"1","x":' + b"[" * 990 + b"]" * 990 + b"}"]
    requests = [(kind, text) for text in deep for kind in "cas"]
    answers = on_a_small_stack([*requests, ("c", b'{"id":"7","set":{"on_pct":35}}')])
    assert answers[:-1] == ["-", "0", "0 0"] * len(deep)
    assert json.loads(answers[-1])["ok"] is True


def test_the_deepest_that_is_read_is_answered(ask: Ask) -> None:
    found, none = ask([("c", nested(DEPTH)), ("c", nested(DEPTH + 1))])
    assert json.loads(found)["error"].startswith("on_pct: a whole number")
    assert none == "-"


# --- any bytes ------------------------------------------------------------------------------------


def test_no_text_breaks_the_port(ask: Ask) -> None:
    requests = [(kind, text) for text in damaged(1, 3_000) for kind in "cas"]
    for (kind, text), answer in zip(requests, ask(requests), strict=True):
        if kind == "c" and answer != "-":
            said = json.loads(answer)
            assert isinstance(said["ok"], bool), text
