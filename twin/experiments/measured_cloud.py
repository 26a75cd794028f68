"""The cloud of a trial: `levada cloud` without a twin, which writes down when each message came.

    python -m levada.twin.experiments.measured_cloud cloud.toml DIR MESSAGES

Prints a line when it is ready, and another when `journeys.json` in DIR has so many messages.  It
ends with its standard input.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from levada.guest.children import until_input_ends
from levada.twin.continuum.cloud import RunningCloud, run_cloud
from levada.twin.continuum.config import CloudFile, read_config
from levada.twin.continuum.hops import SHARED

__all__ = ["FILE"]

FILE = "journeys.json"
_POLL_S = 0.05


def _collect(running: RunningCloud, where: Path, messages: int) -> None:
    pause = threading.Event()
    while len(found := running.streams.journeys) < messages:
        pause.wait(_POLL_S)
    rows = [{"seq": seq, **journey.stages(SHARED, SHARED)} for seq, journey in found[:messages]]
    (where / FILE).write_text(json.dumps(rows), encoding="utf-8")
    sys.stdout.write("measured\n")
    sys.stdout.flush()


def _main(file: str, where: str, messages: str) -> None:
    def end() -> None:
        until_input_ends()
        os.kill(os.getpid(), signal.SIGTERM)

    def started(running: RunningCloud) -> None:
        arguments = running, Path(where), int(messages)
        threading.Thread(target=_collect, args=arguments, daemon=True).start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    threading.Thread(target=end, daemon=True).start()
    run_cloud(read_config(CloudFile, Path(file), {}), Path(where), started=started)


if __name__ == "__main__":
    _main(*sys.argv[1:])
