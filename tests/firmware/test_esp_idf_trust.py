"""The trusted keys of the ESP-IDF port: `trust.c`, compiled for this computer with libsodium's own
headers and its verification, and with a Kconfig, a log and a watchdog made of paper."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Final

import pytest
from device_bench import BUILD, FIRMWARE, build
from test_signatures import forgeries, malleable, published

TRUST: Final = FIRMWARE / "port" / "esp-idf" / "main" / "trust.c"
SODIUM: Final = BUILD / "pynacl-1.6.2" / "src" / "libsodium" / "src" / "libsodium" / "include"
OBJECTS: Final = ("open", "ed25519_ref10", "hash_sha512_cp", "verify_n", "verify")
PAPER: Final = {
    "sodium.h": '#include "sodium/core.h"\n#include "sodium/crypto_sign_ed25519.h"\n',
    "esp_check.h": """
        typedef int esp_err_t;
        enum { ESP_OK, ESP_FAIL = -1, ESP_ERR_INVALID_ARG = 0x102 };
        extern int failed;
        #define ESP_ERROR_CHECK(x) (failed = (x))
    """,
    "esp_log.h": "#define ESP_LOGE(tag, ...) ((void)0)\n",
    "paper.c": """
        #include <stdint.h>
        #include "esp_check.h"
        #include "sodium.h"
        int failed;
        int fed;
        int initialised;
        int sodium_init(void) { initialised++; return 0; }
        void watchdog_feed(void) { fed++; }
        void lv_sys_exit(int code) { failed = code; for (;;) ; }
    """,
}
ONE: Final = "0123456789abcdef" * 4
OTHER: Final = "FEDCBA9876543210" * 4


def compiled(folder: Path, first: str, second: str) -> ctypes.CDLL:
    """The source with these two texts in Kconfig."""
    build(*(f"build/posix/sodium/{name}.o" for name in OBJECTS))
    config = f'#define CONFIG_LEVADA_TRUSTED_KEY_1 "{first}"\n'
    config += f'#define CONFIG_LEVADA_TRUSTED_KEY_2 "{second}"\n'
    for name, content in (PAPER | {"sdkconfig.h": config}).items():
        (folder / name).write_text(content, encoding="utf-8")
    library = folder / "trust.so"
    flags = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", folder]
    sodium = [BUILD / "posix" / "sodium" / f"{name}.o" for name in OBJECTS]
    files = [TRUST, folder / "paper.c", *sodium]
    subprocess.run(["cc", *flags, "-isystem", SODIUM, "-o", library, *files], check=True)
    return ctypes.CDLL(str(library))


def loaded(code: ctypes.CDLL) -> tuple[list[str], int]:
    """The keys it has, and the error that ends its start."""
    keys = ctypes.create_string_buffer(64)
    count = code.trust_load(keys)
    found = [keys.raw[32 * k : 32 * k + 32].hex() for k in range(count)]
    return found, ctypes.c_int.in_dll(code, "failed").value


@pytest.mark.parametrize(
    ("texts", "keys"),
    [
        (("", ""), []),
        ((ONE, ""), [ONE]),
        (("", OTHER), [OTHER.lower()]),
        ((ONE, OTHER), [ONE, OTHER.lower()]),
    ],
)
def test_keys_are_those_of_the_configuration(
    texts: tuple[str, str], keys: list[str], tmp_path: Path
) -> None:
    assert loaded(compiled(tmp_path, *texts)) == (keys, 0)


@pytest.mark.parametrize("wrong", [ONE[1:], ONE + "0", "g" + ONE[1:], ONE[1:] + "/", " " + ONE[1:]])
def test_a_text_that_is_no_key_ends_the_start(wrong: str, tmp_path: Path) -> None:
    assert loaded(compiled(tmp_path, ONE, wrong))[1] == 0x102


def test_its_verification_is_that_of_the_other_ports_and_feeds_the_watchdog(tmp_path: Path) -> None:
    code = compiled(tmp_path, ONE, "")
    for case in (*published(), *malleable(), *forgeries()):
        length = ctypes.c_size_t(len(case.message))
        said = code.trust_verify(None, case.signature, case.message, length, case.key)
        assert said == (0 if case.holds else -1), case.source
    assert ctypes.c_int.in_dll(code, "fed").value > 2 * len(published())
