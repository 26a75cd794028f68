"""For which tiers a module is fit, and what keeps it from the others.

The edge runs a guest that has `step` or `main`.  Fog and cloud call functions and give them nothing
to call: fit is a module that exports at least one of them, each with numbers as the ABI has them
and without any import within its reach.  Calls are followed through the code; one through the table
may reach every function, so what a module reports is never too little.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from levada.guest.abi import REACTOR_EXPORTS, TIER_EXPORTS
from levada.guest.module.instructions import CODE, functions, instructions, skip_locals
from levada.guest.module.sections import sections, unsigned

__all__ = ["CONSTRUCTORS", "EVERY_TIER", "FAR_TIERS", "reached_imports", "unfit_tiers"]

EVERY_TIER: Final = ("edge", "fog", "cloud")
FAR_TIERS: Final = EVERY_TIER[1:]
NUMBERS: Final = frozenset({"i32", "f32", "f64"})
CONSTRUCTORS: Final = ("_initialize", "__wasm_call_ctors")
"""The first found runs before anything else."""
EXPORT_SECTION: Final = 7
FUNCTION_EXPORT: Final = 0
CALL, CALL_INDIRECT = 0x10, 0x11

Kind = Literal["reactor", "command", "pure"]


def unfit_tiers(
    kind: Kind,
    types: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    reached: Mapping[str, frozenset[str]],
) -> dict[str, str]:
    """Reasons by tier; none for those that it is fit for.

    `types` are parameters and results of the exported functions, `reached` what each may import.
    """
    found = {"edge": "it has neither `step` nor `main`"} if kind == "pure" else {}
    reason = "; ".join(far_problems(types, reached))
    return found | (dict.fromkeys(FAR_TIERS, reason) if reason else {})


def far_problems(
    types: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    reached: Mapping[str, frozenset[str]],
) -> Iterator[str]:
    """What is wrong with the functions of fog and cloud."""
    present = [name for name in TIER_EXPORTS if name in types]
    if not present:
        yield f"it exports none of {', '.join(TIER_EXPORTS)}"
    for name in present:
        parameters, results = types[name]
        wanted = len(REACTOR_EXPORTS[name][0])
        numbers = NUMBERS.issuperset([*parameters, *results])
        if len(parameters) != wanted or len(results) != 1 or not numbers:
            yield (
                f"{name} ({', '.join(parameters)}) -> {', '.join(results) or '()'}: must have "
                f"{wanted} parameter{'' if wanted == 1 else 's'} and one result, each i32, f32 or "
                "f64"
            )
    for name in (*present, *CONSTRUCTORS):
        if reached.get(name):
            yield f"{name} may call {', '.join(sorted(reached[name]))}"


def reached_imports(data: bytes, imports: Sequence[str]) -> dict[str, frozenset[str]]:
    """Names of the imported functions that a call of each exported function may reach."""
    calls: list[set[int]] = [set() for _ in imports]
    exported: dict[str, int] = {}
    for section in sections(data):
        if section.kind == CODE:
            calls += [
                called(section.payload, f.locals_at, f.end) for f in functions(section.payload)
            ]
        elif section.kind == EXPORT_SECTION:
            exported = exported_indices(section.payload)
    everything = set(range(len(calls)))
    return {
        name: frozenset(
            imports[index] for index in closure(start, calls, everything) if index < len(imports)
        )
        for name, start in exported.items()
    }


def called(code: bytes, locals_at: int, end: int) -> set[int]:
    """Functions that one function calls; -1 for one that it finds in the table."""
    found = set()
    for item in instructions(code, skip_locals(code, locals_at), end):
        if item.opcode == CALL:
            found.add(item.numbers[0])
        elif item.opcode == CALL_INDIRECT:
            found.add(-1)
    return found


def closure(start: int, calls: Sequence[set[int]], everything: set[int]) -> set[int]:
    """Every function that may run when one is called."""
    seen: set[int] = set()
    waiting = {start}
    while waiting:
        seen |= waiting
        further = set().union(*(calls[index] for index in waiting))
        waiting = (everything if -1 in further else further) - seen
    return seen


def exported_indices(payload: bytes) -> dict[str, int]:
    """Index of every exported function."""
    count, at = unsigned(payload, 0, "number of exports")
    found = {}
    for _ in range(count):
        length, at = unsigned(payload, at, "length of a name")
        name = payload[at : at + length].decode()
        kind = payload[at + length]
        index, at = unsigned(payload, at + length + 1, "index of an export")
        if kind == FUNCTION_EXPORT:
            found[name] = index
    return found
