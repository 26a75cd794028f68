"""What a guest held and did at one step of a run: memory, globals, parameters, host calls.

The tape is replayed up to that step.  With another guest this is what it would have done there,
had it read from the start what the guest of the run has read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from levada.guest.abi import Call
from levada.guest.module.all_globals import PREFIX, global_names, with_all_globals
from levada.guest.tape import iter_records, record_text, time_text
from levada.guest.wasm.fleet import SimNodes
from levada.sim.results.replay import Replayer, up_to
from levada.sim.run.rundir import RunDir, RunDirError

__all__ = ["StepDump", "dump_step", "memory_lines"]

_ROW_BYTES: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class StepDump:
    """A guest after one of its runs, or where it was stopped in it."""

    zone: str
    time_ms: int
    """When that run of the guest began [ms since 1970]."""
    run: int
    """Index of the run (init, step, main) among those of its zone, as in `levada tape`."""
    recorded: tuple[str, ...]
    """The records of that run on the tape."""
    made: tuple[str, ...]
    """What the guest that was replayed did in it."""
    parameters: dict[str, tuple[int, str]]
    """Name -> value, as the guest has it, and unit; empty if the guest was stopped."""
    globals: dict[str, int | float]
    memory: bytes
    notes: tuple[str, ...]
    """What was left out for another guest."""

    @property
    def time(self) -> str:
        """`time_ms` as ISO 8601, local standard time of the site."""
        return time_text(self.time_ms)


def dump_step(
    run: RunDir, until_ms: int | None = None, *, zone: str = "", guest: Path | None = None
) -> StepDump:
    """The last step of a zone at `until_ms` or before; the last of the run if that is None.

    `zone` can be left out if there is only one.  Raises RunDirError if there is no such zone or no
    step until then, and what `levada.sim.results.replay.replay_run` raises.
    """
    replayer = Replayer(run, guest)
    tape = replayer.tape
    if not zone and len(tape.zones) > 1:
        raise RunDirError(f"{run.path}: {len(tape.zones)} zones; name one: {_some(tape.zones)}")
    zone = zone or tape.zones[0]
    if zone not in tape.zones:
        raise RunDirError(f"{run.path}: no zone {zone!r}; there are {_some(tape.zones)}")
    whole = tape.tapes()[tape.zones.index(zone)]
    records = whole if until_ms is None else up_to(whole, until_ms)
    if not records:
        begin = time_text(tape.start_ms)
        raise RunDirError(f"{run.path}: no step until then; the run begins at {begin}")
    nodes, notes = replayer.nodes(zone, module=with_all_globals(replayer.module))
    with nodes:
        nodes.look_inside()
        played = list(replayer.play(zone, nodes, records))
        inside = nodes.inside(0)
        parameters = {} if nodes.trap[0] else dict(_parameters(nodes))
    recorded, made = played[-1]
    time_ms, number = tape.start_ms, -1
    for record in iter_records(records):
        if record.call in (Call.STEP, Call.BOOT):
            time_ms = record.values[0]
            number += record.call == Call.STEP
    names = global_names(replayer.module)
    values = {} if inside is None else inside.globals
    return StepDump(
        zone=zone,
        time_ms=time_ms,
        run=number,
        recorded=tuple(map(record_text, recorded)),
        made=tuple(map(record_text, iter_records(made))),
        parameters=parameters,
        globals={_global_name(name, names): value for name, value in values.items()},
        memory=b"" if inside is None else inside.memory,
        notes=tuple(notes),
    )


def memory_lines(memory: bytes) -> Iterator[str]:
    """Rows of 16 bytes that are not all zero: address, bytes, characters."""
    for at in range(0, len(memory), _ROW_BYTES):
        row = memory[at : at + _ROW_BYTES]
        if any(row):
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            yield f"0x{at:06x}  {row.hex(' ')}  {text}"


def _parameters(nodes: SimNodes) -> Iterator[tuple[str, tuple[int, str]]]:
    for parameter in nodes.info.parameters:
        yield parameter.name, (nodes.param_get(0, parameter.id), parameter.unit)


def _global_name(export: str, names: Mapping[int, str]) -> str:
    if not export.startswith(PREFIX):
        return export
    index = int(export.removeprefix(PREFIX))
    return names.get(index, f"global {index}")


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
