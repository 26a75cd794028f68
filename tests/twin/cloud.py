"""The cloud side as a program, to be killed: python tests/twin/cloud.py STORE < address"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from levada.hil.errors import BrokerError
from levada.hil.line.broker import BrokerAddress
from levada.twin.mqtt.delivery import Delivery
from levada.twin.store.store import Store

if __name__ == "__main__":
    address = BrokerAddress(**json.loads(sys.stdin.readline()))
    with Store(Path(sys.argv[1])) as store:
        while True:
            try:
                Delivery(store, address)
                break
            except BrokerError:
                threading.Event().wait(0.1)  # the broker is being killed, too
        sys.stdin.read()  # until the parent ends
