"""Clients that connect and say nothing: python tests/twin/crowd.py COUNT < address

Prints how many were accepted and stays until its input ends.  A program, because paho cannot handle
descriptors beyond 1,024 and would have to beside them.
"""

from __future__ import annotations

import json
import resource
import sys

from raw_mqtt import log_in

from levada.hil.line.broker import BrokerAddress

if __name__ == "__main__":
    count = int(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 100), hard))
    address = BrokerAddress(**json.loads(sys.stdin.readline()))
    idle = []
    for number in range(count):
        try:
            idle.append(log_in(address, f"idle-{number}-of-{count}"))
        except (OSError, ValueError):
            continue
    print(len(idle), flush=True)
    sys.stdin.read()
