"""One example of every message, and streams that damage does to frames."""

from __future__ import annotations

import random

from levada.hil.wire import messages as m
from levada.hil.wire.message import MAX_BODY

SHA = bytes(range(32))

EXAMPLES: list[m.Message] = [
    m.Hello(session=0xDEADBEEF),
    m.Configure(
        node="zone7",
        prefix="ic/",
        counts=(2500, 1000, -1),
        imports=0xFFE,
        pin_count=4,
        pins=(23, 18, 19, 21, *(0,) * 12),
        instructions=1_000_000,
        deadline_ms=5_000,
        memory_pages=4,
        host_calls=256,
        log_bytes=1_024,
        publish_bytes=2_048,
        lease_ms=30_000,
    ),
    m.Start(time_ms=1_681_516_800_000, flags=1, parameters=((2, 1200), (15, -1))),
    m.Start(time_ms=-1, flags=0, parameters=()),
    m.Step(time_ms=1_681_517_400_000, flags=1, readings=(2200, -150, 3712, -2), uptime_ms=600_000),
    m.Step(
        time_ms=1_681_518_000_000,
        flags=0,
        readings=(2200, -150, 3712, 0),
        uptime_ms=1_200_000,
        further=((4, 3), (5, 0), (6, 2**31 - 1)),
    ),
    m.ReadTape(offset=993),
    m.Calibrate(flags=1, parameters=((0, 2**31 - 1), (1, -(2**31)))),
    m.GetParameter(id=-7),
    m.InstallBegin(size=6_013, sha256=SHA),
    m.InstallChunk(offset=1_020, data=bytes(range(256)) * 3),
    m.InstallChunk(offset=0, data=b"\0" * 1_020),
    m.InstallEnd(),
    m.InstallBegin(size=6_013, sha256=SHA, envelope=b"\xa2\x02\x81\x82"),
    m.InstallTrial(
        steps=60,
        within_ms=90_000,
        flags=m.TrialFlag.CONFIRM | m.TrialFlag.REPORT,
        carried=b"\x02\0\0\0\xff\xff\xff\xff",
    ),
    m.Confirm(sha256=SHA),
    m.Reject(),
    m.InstallAbort(),
    m.GetUpdateStatus(),
    m.Reset(),
    m.Ping(data=b"ping"),
    m.Close(),
    m.GetTelemetry(),
    m.TelemetryAck(boot_id=3, sequence=4_000_000_000),
    m.Fault(kind=m.FaultKind.RESET, point=m.FaultPoint.CALL, after=3, argument=0),
    m.GetStatistics(),
    m.Heartbeat(session=0xDEADBEEF),
    m.Ack(value=1_020),
    m.Nak(error=m.NakError.STOPPED, request=4, detail=-3),
    m.Birth(
        session=0xDEADBEEF,
        boot_id=3,
        abi_version=1,
        flags=m.BirthFlag.INSTALLED | m.BirthFlag.STARTED,
        reset_reason=m.ResetReason.WATCHDOG,
        slot=1,
        max_body=1_024,
        guest_bytes=6_013,
        slot_bytes=65_536,
        guest_sha256=SHA,
        engine="wasm3 0.5.0",
        firmware="levada 0.1.0 posix",
    ),
    m.StepResult(
        trap=0,
        trap_call=0,
        flags=2,
        outputs=0x8001,
        ever_set=0xFFFF,
        wake_ms=1 << 62,
        host_calls=8,
        active_us=31,
        tape_bytes=5_000,
        tape=b"\x00\x01\x02" * 300,
    ),
    m.Tape(offset=997, tape=b"\x10\0\0\0\0"),
    m.Calibrated(tape_bytes=13, parameters=((2, 1200),)),
    m.Parameter(id=2, value=-1200),
    m.Pong(data=b""),
    m.Telemetry(
        boot_id=3,
        sequence=17,
        time_ms=1_681_517_400_000,
        waiting=2,
        dropped=1,
        topic_bytes=4,
        payload=b'data{"raw":2200}',
    ),
    m.Statistics(
        frames=1,
        bad_frames=2,
        repeats=3,
        steps=4,
        host_calls=5,
        publish_bytes=6,
        active_us=2**63,
        open_ms=8,
        flash_writes=9,
        stack_bytes=10,
    ),
    m.UpdateStatus(
        state=m.UpdateState.FAILED,
        reason=m.UpdateReason.TRAP,
        detail=-3,
        sha256=SHA,
        received=6_013,
        size=6_013,
        steps=59,
        counter=7,
        nonce=bytes(range(16)),
        version="1.4.0",
    ),
]

COBS_LENGTHS = (0, 1, 253, 254, 255, 508)
"""Around the block of 254 bytes and twice that; case L11."""


def cobs_contents() -> dict[str, bytes]:
    """Bytes of those lengths: without zeros, all zeros, zeros first, last and every third."""
    found = {}
    for length in COBS_LENGTHS:
        plain = bytes(1 + k % 255 for k in range(length))
        found[f"{length} without zeros"] = plain
        found[f"{length} zeros"] = bytes(length)
        found[f"{length} with zeros"] = bytes(0 if k % 3 == 2 else b for k, b in enumerate(plain))
        if length:
            found[f"{length}, the first zero"] = b"\0" + plain[1:]
            found[f"{length}, the last zero"] = plain[:-1] + b"\0"
    return found


def seeded(seed: int) -> random.Random:
    """A generator whose seed the report of a failed test shows."""
    print(f"seed {seed}")
    return random.Random(seed)


def random_body(generator: random.Random, longest: int = MAX_BODY) -> bytes:
    """Any length, and more zeros than chance would bring."""
    length = generator.choice((0, generator.randrange(16), generator.randrange(longest + 1)))
    zeros = generator.choice((0.0, 0.1, 0.9))
    return bytes(
        0 if generator.random() < zeros else generator.randrange(256) for _ in range(length)
    )


def flip_bits(data: bytes, rate: float, generator: random.Random) -> bytes:
    """Independent bit errors at that rate."""
    damaged = bytearray(data)
    at = -1
    while True:
        # distance to the next error: geometric
        at += 1 + int(generator.expovariate(rate))
        if at >= 8 * len(data):
            return bytes(damaged)
        damaged[at // 8] ^= 1 << at % 8
