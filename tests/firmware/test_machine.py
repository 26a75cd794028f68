"""What processor, compiler and C library of the emulated Xtensa boards make of C."""

from __future__ import annotations

import operator
import random
import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from device_bench import BUILD, EMULATORS, build

from levada.hil.virtual import esp32_compiler

ENGINES = ("xtensa", "esp32")
M32, M64 = 2**32 - 1, 2**64 - 1

Operation = Callable[[int, int], int]


def signed(value: int, bits: int) -> int:
    """The number that these bits stand for in two's complement."""
    return value - (1 << bits) if value >> (bits - 1) else value


def quotient(a: int, b: int) -> int:
    """Rounded towards zero, as C does."""
    return abs(a) // abs(b) * (-1 if (a < 0) != (b < 0) else 1)


def remainder(a: int, b: int) -> int:
    return a - b * quotient(a, b)


def of_signed(operation: Operation, bits: int) -> Operation:
    return lambda a, b: operation(signed(a, bits), signed(b, bits))


def shift_of_signed(bits: int) -> Operation:
    return lambda a, b: signed(a, bits) >> b


WIDE: dict[int, Operation] = {
    0: operator.add,
    1: operator.sub,
    2: operator.mul,
    3: operator.floordiv,
    4: operator.mod,
    5: of_signed(quotient, 64),
    6: of_signed(remainder, 64),
    7: operator.lshift,
    8: operator.rshift,
    9: shift_of_signed(64),
    10: of_signed(operator.lt, 64),
    11: operator.lt,
    12: lambda a, _: a.bit_count(),
    13: lambda a, _: 64 - a.bit_length(),
    14: lambda a, _: (a & -a).bit_length() - 1,
}
"""Operations of `machine.c` on 64 bits."""
NARROW: dict[int, Operation] = {
    20: lambda a, b: a * b & M32,
    21: operator.floordiv,
    22: operator.mod,
    23: lambda a, b: quotient(signed(a, 32), signed(b, 32)) & M32,
    24: lambda a, b: remainder(signed(a, 32), signed(b, 32)) & M32,
    25: lambda a, b: a << b & M32,
    26: operator.rshift,
    27: lambda a, b: (signed(a, 32) >> b) & M32,
    28: operator.mul,
    29: of_signed(operator.mul, 32),
    30: lambda a, _: a.bit_count(),
}
"""Those on 32 bits; products of 64."""
SHIFTS, DIVISIONS, SIGNED_DIVISIONS, OF_NONE = (
    {7, 8, 9, 25, 26, 27},
    {3, 4, 5, 6, 21, 22, 23, 24},
    {5, 6, 23, 24},
    {13, 14},
)


def questions(operations: dict[int, Operation], bits: int) -> Iterator[tuple[int, int, int, int]]:
    """Operation, a, b and the answer by Python, but for what C leaves undefined."""
    half, whole = 1 << (bits - 1), 1 << bits
    edges = {0, 1, 2, 3, 7, 10, 0xFFFF, 0x10000, half - 1, half, half + 1, whole - 2, whole - 1}
    edges |= {n & (whole - 1) for n in (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**33)}
    generator = random.Random(4)
    print("seed 4")
    drawn = [(generator.getrandbits(bits), generator.getrandbits(bits)) for _ in range(60)]
    drawn += [(a, b >> generator.randrange(bits)) for a, b in drawn]
    pairs = [(a, b) for a in sorted(edges) for b in sorted(edges)] + drawn
    shifts = [
        (a, b) for a in sorted(edges) for b in (0, 1, 15, 16, 31, *(32, 33, 48, 63)[: bits // 16])
    ]
    for number, operation in operations.items():
        for a, b in shifts if number in SHIFTS else pairs:
            undefined = (
                (number in SHIFTS and b >= bits)
                or (number in DIVISIONS and b == 0)
                or (number in SIGNED_DIVISIONS and (a, b) == (half, whole - 1))
                or (number in OF_NONE and a == 0)
            )
            if not undefined:
                yield number, a, b, operation(a, b) & M64


def run(engine: str, mode: str, given: bytes = b"") -> bytes:
    """What the program of that engine's board answers."""
    program = f"levada-machine-{engine}"
    build(f"build/{program}")
    command = [*EMULATORS.get(engine, ()), BUILD / program, mode]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def words(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // 4}I", data))


@pytest.mark.parametrize("engine", ENGINES)
def test_arithmetic_is_that_of_python(engine: str) -> None:
    asked = [*questions(WIDE, 64), *questions(NARROW, 32)]
    data = run(engine, "arithmetic", b"".join(struct.pack("<3Q", *q[:3]) for q in asked))
    found = struct.unpack(f"<{len(asked)}Q", data)
    wrong = [(q, hex(f)) for q, f in zip(asked, found, strict=True) if q[3] != f]
    assert not wrong, wrong[:5]
    assert len(asked) > 8_000


def dive(depth: int, a: int, b: int, handed: Iterator[int] | None = None) -> int:
    """What `dive` of machine.c returns; `handed` has what each pause is told."""
    frames = []
    while depth:
        pauses = handed is not None and depth % 100 == 0
        frames.append((depth, a, b, pauses, next(handed) if handed is not None and pauses else 0))
        a, b, depth = (a * 31 + depth) & M32, (a + b) & M32, depth - 1
    below = a ^ b
    for depth, a, b, pauses, told in reversed(frames):
        if handed is not None and pauses:
            told += next(handed)
        below = (((below * 7 + a) & M32) ^ ((b + depth) & M32)) + told & M32
    return below


@pytest.mark.parametrize("engine", ENGINES)
def test_two_thousand_calls_deep_every_frame_has_its_variables(engine: str) -> None:
    assert dive(1, 1, 2) == (((32 ^ 3) * 7 + 1) ^ 3)
    assert words(run(engine, "recursion")) == [dive(1, 1, 2), dive(2000, 3, 5)]


@pytest.mark.parametrize("engine", ENGINES)
def test_two_stacks_take_turns_each_deep_in_calls(engine: str) -> None:
    pauses = 2 * 2000 // 100
    expected = [dive(40, k, 1) for k in range(1, pauses + 1)]
    expected.append(dive(2000, 7, 11, iter(range(1, pauses + 1))))
    assert words(run(engine, "coroutine")) == expected * 3


@pytest.mark.parametrize("engine", ENGINES)
def test_the_c_library_does_what_that_of_this_computer_does(engine: str) -> None:
    assert words(run(engine, "library")) == words(run("wasm3", "library"))


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_is_handed_out_once_whole_and_joined_when_it_comes_back(engine: str) -> None:
    assert words(run(engine, "heap")) == [0, 1, 1]


# Machine code


def instructions(objects: list[Path]) -> dict[str, list[str]]:
    """Mnemonics of every function, by LLVM's own disassembler."""
    objdump = esp32_compiler().split()[1].replace("llc", "llvm-objdump")
    done = subprocess.run(
        [objdump, "-d", "--mcpu=esp32", "-j", ".text", *objects],
        capture_output=True,
        text=True,
        check=True,
    )
    functions: dict[str, list[str]] = {}
    name = ""
    for line in done.stdout.splitlines():
        if found := re.match(r"(\S+):\s+file format", line):
            name = found[1]
        elif found := re.match(r"[0-9a-f]+ <(.+)>:", line):
            functions[key := f"{name} {found[1]}"] = []
        elif found := re.match(r"\s*[0-9a-f]+: (?:[0-9a-f]{2} )+\s*\t(\S+)", line):
            functions[key].append(found[1])
    return functions


@pytest.mark.parametrize("engine", ["esp32"])
def test_the_code_of_the_board_is_windowed_and_the_emulated_core_has_all_of_it(engine: str) -> None:
    build(f"build/levada-board-{engine}", f"build/levada-machine-{engine}")
    folder = BUILD / engine
    compiled = instructions(sorted(path.with_suffix(".o") for path in folder.rglob("*.ll")))
    assert len(compiled) > 700
    assert {code[0] for code in compiled.values()} == {"entry"}
    used = {mnemonic for code in compiled.values() for mnemonic in code}
    assert {"retw.n", "callx8", "l32r"} <= used
    assert not used & {"ret", "ret.n", "call0", "callx0", "muluh", "mulsh"}
    # and what the compiler uses unless told not to
    again = (folder / "machine.ll").read_text()
    llc = esp32_compiler().split()[1]
    command = [llc, "-O2", "-mtriple=xtensa", "-mcpu=esp32", "-o", "-"]
    whole = subprocess.run(command, input=again, capture_output=True, text=True, check=True).stdout
    assert "\tmuluh\t" in whole
