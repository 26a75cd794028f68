"""Flashing: esptool against a boot loader that is not there (esp32-mock-bootloader)."""

from __future__ import annotations

import gc
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest
from esp32_mock_bootloader.api import mock_bootloader

from levada.guest.errors import GuestError
from levada.guest.shipped import DEFAULT_GUEST
from levada.hil.errors import HilError, UsageError
from levada.hil.flash import SLOT_BYTES, flash, flash_arguments, partition_offset, slot_image

MODULE = DEFAULT_GUEST.read_bytes()


def test_a_slot_is_the_module_emptiness_and_a_label() -> None:
    image = slot_image(MODULE)
    assert image[: len(MODULE)] == MODULE
    assert set(image[len(MODULE) : SLOT_BYTES]) == {0xFF}
    label = image[SLOT_BYTES:]
    assert label[:8] == b"lvsl" + len(MODULE).to_bytes(4, "little")
    # sha256sum of the shipped module, and CRC-32 as the firmware computes it
    digest = subprocess.run(["sha256sum", DEFAULT_GUEST], capture_output=True, check=True).stdout
    assert label[8:40].hex() == digest[:64].decode()
    assert label[40:] == crc32(label[:40]).to_bytes(4, "little")
    assert len(label) == 44


def test_what_is_no_guest_or_too_long_is_not_flashed() -> None:
    with pytest.raises(GuestError):
        slot_image(b"not a module")


def test_offsets_are_those_of_the_partition_table() -> None:
    assert partition_offset("guest0") == 0x210000
    assert partition_offset("guest1") == 0x221000
    with pytest.raises(HilError, match="no partition `guest2`: there are nvs, phy_init, factory"):
        partition_offset("guest2")


def test_nothing_and_an_unfinished_build_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to flash"):
        flash("/dev/null")
    with pytest.raises(UsageError, match="no finished ESP-IDF build"):
        flash_arguments(tmp_path)


def test_without_esptool_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"\.venv/bin/python -m pip install -e '\.\[flash\]'"):
        flash("/dev/null", guest=MODULE)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_firmware_and_guest_are_written_and_verified(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {"0x1000": "bootloader.bin", "0x8000": "table.bin", "0x10000": "levada.bin"}
    for k, name in enumerate(files.values()):
        (tmp_path / name).write_bytes(bytes([k + 1]) * 5000)
    (tmp_path / "flasher_args.json").write_text(json.dumps({"flash_files": files}), "utf-8")
    with mock_bootloader("esp32") as board:
        flash(board.url(), build=tmp_path, guest=MODULE, slot=1, chip="esp32")
        said = capfd.readouterr().out
        assert said.count("Hash of data verified") == 4
        back = tmp_path / "back.bin"
        size = SLOT_BYTES + 44
        # without the stub, whose read the mock boot loader does not speak
        read = (
            "--no-stub",
            "--chip",
            "esp32",
            "--port",
            board.url(),
            "read-flash",
            "0x221000",
            str(size),
            back,
        )
        subprocess.run([sys.executable, "-m", "esptool", *read], check=True, capture_output=True)
        assert back.read_bytes() == slot_image(MODULE)
    gc.collect()  # the mock leaves a pipe open, of which only this test may be told


def test_a_board_that_does_not_answer_is_said_how_to_wake(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(HilError, match="hold BOOT, press EN once"):
        flash("/dev/no-such-port", guest=MODULE)
    assert capfd.readouterr().out
