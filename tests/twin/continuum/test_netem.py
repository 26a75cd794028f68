"""The commands of docs/continuum-links.md for namespaces, as this computer's kernel takes them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from bad_network import can_make_namespaces
from services import need

PAGE = Path(__file__).resolve().parents[3] / "docs/continuum-links.md"
UNKNOWN = "Error: Specified qdisc kind is unknown."
"""What tc says where the kernel has no such discipline."""


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line.removeprefix("sudo ") for block in blocks for line in block.splitlines()]


def test_the_commands_for_namespaces_are_taken(tmp_path: Path) -> None:
    for program in ("ip", "tc"):
        need(program, Path("/usr/sbin"))
    if not can_make_namespaces():
        pytest.skip("this user or kernel allows no network namespaces")
    lines = commands()
    netem = [line for line in lines if " netem " in line]
    assert (len(lines), len(netem)) == (12, 2)
    script = tmp_path / "page.sh"
    # a namespace of its own for `ip netns`, too, which keeps names in /run
    said = "".join(f"{line} 2>&1 || echo refused: '{line}'\n" for line in lines)
    script.write_text(f"mount -t tmpfs none /run\n{said}", encoding="utf-8")
    run = ["unshare", "--net", "--mount", "sh", str(script)]
    found = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    refused = [line for command in netem for line in (UNKNOWN, f"refused: {command}")]
    assert found in ([], refused)
