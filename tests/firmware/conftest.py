"""Builds the firmware once for the tests of this folder."""

from __future__ import annotations

import ctypes

import pytest
from device_bench import BUILD, WAMR, build
from tools import esp32_skipped


@pytest.fixture(scope="session")
def library() -> ctypes.CDLL:
    """The core as a shared library of this computer."""
    build("lib")
    found = ctypes.CDLL(str(BUILD / "liblevada.so"))
    found.lv_cobs_encode.restype = ctypes.c_size_t
    found.lv_frame_encode.restype = ctypes.c_size_t
    found.lv_test_decode.restype = ctypes.c_size_t
    found.lv_test_decode.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    found.lv_test_topic.restype = ctypes.c_bool
    found.lv_crc32.restype = ctypes.c_uint32
    return found


@pytest.fixture(scope="session")
def boards() -> None:
    """Every board that runs on this computer, emulated or not."""
    build("posix", "xtensa", "aarch64", *(() if esp32_skipped() else ("esp32",)))
    if WAMR:
        build("build/levada-board-wamr")
