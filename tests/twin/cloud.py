"""The cloud side as a program, to be killed: python tests/twin/cloud.py STORE [MAPPINGS] < address

MAPPINGS are tables `[[mapping]]` of a scenario as JSON.  It prints `ready` once it listens.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from levada.hil.errors import BrokerError
from levada.hil.line.broker import BrokerAddress
from levada.sim.scenario.mapping import PayloadMapping
from levada.twin.mqtt.delivery import Delivery
from levada.twin.mqtt.mapping import PayloadMap
from levada.twin.store.store import Store

if __name__ == "__main__":
    mappings = json.loads(sys.argv[2]) if len(sys.argv) > 2 else []
    maps = [PayloadMap(PayloadMapping.model_validate(mapping)) for mapping in mappings]
    address = BrokerAddress(**json.loads(sys.stdin.readline()))
    with Store(Path(sys.argv[1])) as store:
        while True:
            try:
                Delivery(store, address, maps=maps)
                break
            except BrokerError:
                threading.Event().wait(0.1)  # the broker is being killed, too
        print("ready", flush=True)
        sys.stdin.read()  # until the parent ends
