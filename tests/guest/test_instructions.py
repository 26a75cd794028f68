"""Every instruction of the specification, as an assembler of somebody else's encodes it.

Names: WebAssembly core specification 2.0, appendix "Index of Instructions", without vectors.
"""

from __future__ import annotations

import pytest
import wasmtime

from levada.guest.errors import ModuleError
from levada.guest.module.arithmetic import wide_arithmetic
from levada.guest.module.instructions import (
    CODE,
    functions,
    instructions,
    placed,
    signed,
    skip_locals,
)

OF_WHOLE = (
    "eqz eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u clz ctz popcnt add sub mul div_s div_u "
    "rem_s rem_u and or xor shl shr_s shr_u rotl rotr"
)
OF_REAL = "eq ne lt gt le ge abs neg ceil floor trunc nearest sqrt add sub mul div min max copysign"
WIDTHS = {"i32": "8 16", "i64": "8 16 32"}
NUMERIC = [
    *(f"{kind}.{name}" for kind in WIDTHS for name in OF_WHOLE.split()),
    *(f"{kind}.extend{n}_s" for kind, widths in WIDTHS.items() for n in widths.split()),
    *(f"{kind}.{name}" for kind in ("f32", "f64") for name in OF_REAL.split()),
    *(
        f"{whole}.{name}_{real}_{sign}"
        for whole in WIDTHS
        for name in ("trunc", "trunc_sat")
        for real in ("f32", "f64")
        for sign in "su"
    ),
    *(f"{f}.convert_{i}_{sign}" for f in ("f32", "f64") for i in WIDTHS for sign in "su"),
    *("i32.wrap_i64", "i64.extend_i32_s", "i64.extend_i32_u", "f32.demote_f64", "f64.promote_f32"),
    *("i32.reinterpret_f32", "i64.reinterpret_f64", "f32.reinterpret_i32", "f64.reinterpret_i64"),
]
"""Without immediates."""
MEMORY = [
    *(f"{kind}.{name}" for kind in ("i32", "i64", "f32", "f64") for name in ("load", "store")),
    *(
        f"{kind}.{name}"
        for kind, widths in WIDTHS.items()
        for n in widths.split()
        for name in (f"load{n}_s", f"load{n}_u", f"store{n}")
        if (kind, n) != ("i32", "32")
    ),
]
NARROW = {
    "unreachable": (),
    "nop": (),
    "return": (),
    "drop": (),
    "select": (),
    "block end": (-64,),
    "loop end": (-64,),
    "if end": (-64,),
    "block (result i32) end": (-1,),
    "block (type 1) end": (1,),
    "br 0": (0,),
    "br_if 0": (0,),
    "br_table 0 0 0": (0, 0, 0),
    "call 200": (200,),
    "call_indirect 1 (type 200)": (200, 1),
    "return_call 200": (200,),
    "return_call_indirect 1 (type 200)": (200, 1),
    "select (result i64)": (),
    "local.get 200": (200,),
    "local.set 200": (200,),
    "local.tee 200": (200,),
    "global.get 200": (200,),
    "global.set 200": (200,),
    "table.get 1": (1,),
    "table.set 1": (1,),
    "ref.null func": (-16,),
    "ref.is_null": (),
    "ref.func 200": (200,),
    "memory.size": (0,),
    "memory.grow": (0,),
    "memory.init 200": (200, 0),
    "data.drop 200": (200,),
    "memory.copy": (0, 0),
    "memory.fill": (0,),
    "table.init 1 200": (200, 1),
    "elem.drop 200": (200,),
    "table.copy 1 2": (1, 2),
    "table.grow 1": (1,),
    "table.size 1": (1,),
    "table.fill 1": (1,),
    "i32.const 66": (66,),
    "i32.const -2147483648": (-2147483648,),
    "i32.const 64": (64,),
    "i32.const -64": (-64,),
    "i32.const -65": (-65,),
}
"""Instructions that compute with no wide number, and their immediates in the order of the bytes."""
AROUND = (
    '(type (func)) (type (func (result i32))) (memory 1) (data "x")'
    + "(type (func (param i32)))" * 199
    + "(global (mut i32) (i32.const 0))" * 201
    + "(table 1 funcref)" * 3
    + '(data "x")' * 200
    + "(elem func 0)" * 201
    + "(func)" * 201
)


def module(code: str) -> bytes:
    """The code between two that trap, so that its types do not matter."""
    locals_ = "(local" + " i32" * 201 + ")"
    return bytes(
        wasmtime.wat2wasm(f"(module {AROUND} (func {locals_} unreachable {code} unreachable))")
    )


def read(data: bytes) -> list[tuple[int, tuple[int, ...]]]:
    """Opcode and immediates of the instructions of the last function."""
    (code,) = (section.payload for section, _ in placed(data) if section.kind == CODE)
    last = list(functions(code))[-1]
    found = list(instructions(code, skip_locals(code, last.locals_at), last.end))
    assert all(item.known for item in found)
    assert [item.at for item in found[1:]] == [item.end for item in found[:-1]]
    assert found[-1].end == last.end
    return [(item.opcode, item.numbers) for item in found]


def test_the_index_of_instructions_is_whole() -> None:
    """32-bit and 64-bit numbers have 29 and 29 names, floats 20 each, and 33 convert."""
    assert len(NUMERIC) == len(set(NUMERIC)) == 29 * 2 + 5 + 20 * 2 + 16 + 8 + 5 + 4
    assert len(MEMORY) == len(set(MEMORY)) == 8 + 6 + 9


@pytest.mark.parametrize("name", NUMERIC)
def test_a_computation_says_with_which_numbers_by_its_name(name: str) -> None:
    data = module(name)
    assert wide_arithmetic(data) == {kind for kind in ("i64", "f32", "f64") if kind in name}
    first, (_, numbers), *rest = read(data)
    assert (first, numbers, rest) == ((0x00, ()), (), [(0x00, ()), (0x0B, ())])


@pytest.mark.parametrize("name", MEMORY)
def test_an_access_to_the_memory_has_an_alignment_and_an_offset(name: str) -> None:
    data = module(f"{name} offset=200 align=1")
    assert wide_arithmetic(data) == {kind for kind in ("i64", "f32", "f64") if kind in name}
    first, (_, numbers), *rest = read(data)
    assert (first, numbers, rest) == ((0x00, ()), (0, 200), [(0x00, ()), (0x0B, ())])


@pytest.mark.parametrize(("code", "kind"), [("f32.const 1", "f32"), ("f64.const 1", "f64")])
def test_constants_of_floating_point_are_skipped(code: str, kind: str) -> None:
    data = module(code)
    assert wide_arithmetic(data) == {kind}
    assert len(read(data)) == 4


@pytest.mark.parametrize("value", [0, 66, -64, -65, 2**63 - 1, -(2**63)])
def test_constants_of_64_bits(value: int) -> None:
    data = module(f"i64.const {value}")
    assert wide_arithmetic(data) == {"i64"}
    assert read(data)[1] == (0x42, (value,))


@pytest.mark.parametrize("code", NARROW)
def test_everything_else_has_its_immediates_and_no_wide_number(code: str) -> None:
    data = module(code)
    assert wide_arithmetic(data) == set()
    found = read(data)
    assert found[1][1] == NARROW[code]
    ends = code.count(" end")
    assert len(found) == 4 + ends
    assert found[2 + ends :] == [(0x00, ()), (0x0B, ())]


def test_an_instruction_that_is_none_of_them_is_named() -> None:
    """`i32x4.splat` is 0xFD 0x11."""
    with pytest.raises(ModuleError) as refused:
        wide_arithmetic(module("i32x4.splat"))
    assert str(refused.value) == "instruction 0xfd11: not known to levada"


def test_every_section_is_told_with_where_its_payload_lies() -> None:
    data = module("nop")
    found = list(placed(data))
    assert [section.kind for section, _ in found] == sorted(
        (section.kind for section, _ in found), key=[1, 3, 4, 5, 6, 9, 12, CODE, 11].index
    )
    for section, at in found:
        assert data[at : at + len(section.payload)] == section.payload
        assert data[at - len(section.raw) + len(section.payload)] == section.kind
    section, at = found[-1]
    assert at + len(section.payload) == len(data)


@pytest.mark.parametrize("end", [b"\xc5", b"\xfb\x00", b"\xfc\x12", b"\xfd\x00", b"\x06", b"\x27"])
def test_what_is_no_instruction_of_it_is_the_last_that_is_read(end: bytes) -> None:
    """0xC5 is behind the last of the computations, 0xFC 18 behind those of tables."""
    code = b"\x01" + end + b"\x0b"
    nop, unknown = instructions(code, 0, len(code))
    assert (nop.known, unknown.known, unknown.at, unknown.end) == (True, False, 1, 1 + len(end))
    assert unknown.opcode == int.from_bytes(end)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (b"\x41", "number at byte 1: without an end, or more than 64 bits"),
        (b"\x41\x80", "number at byte 1: without an end, or more than 64 bits"),
        (b"\x42" + b"\x80" * 10 + b"\x00", "number at byte 1: without an end, or more than 64"),
        (b"\x01\x44" + bytes(7), "instruction 0x44 at byte 1: is cut off"),
        (b"\x43" + bytes(3), "instruction 0x43 at byte 0: is cut off"),
        (b"\x1c\x02\x7f", "instruction 0x1c at byte 0: is cut off"),
        (b"\x0e\x04\x00\x00\x00", "br_table at byte 0: more labels than bytes"),
    ],
)
def test_what_is_cut_off_is_named(code: bytes, says: str) -> None:
    with pytest.raises(ModuleError) as refused:
        list(instructions(code, 0, len(code)))
    assert str(refused.value).startswith(says)


def test_as_many_bytes_as_labels_are_no_more_labels_than_bytes() -> None:
    """The default label is one more, so that it is the instruction that is cut off."""
    with pytest.raises(ModuleError, match="immediate"):
        list(instructions(b"\x0e\x03\x00\x00\x00", 0, 5))
    (table,) = instructions(b"\x0e\x02\x05\x06\x07", 0, 5)
    assert (table.numbers, table.end) == ((5, 6, 7), 5)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x00", 0),
        (b"\x3f", 63),
        (b"\x40", -64),
        (b"\x7f", -1),
        (b"\xc0\x00", 64),
        (b"\xbf\x7f", -65),
        (b"\xc0\xbb\x78", -123456),  # the example of Wikipedia's page on LEB128
    ],
)
def test_signed_numbers_are_leb128(data: bytes, value: int) -> None:
    assert signed(b"\xff" + data + b"\xff", 1) == (value, 1 + len(data))


def test_a_function_that_reaches_beyond_its_section_is_refused() -> None:
    assert [tuple(f) for f in functions(b"\x02\x02\x00\x0b\x01\x0b")] == [(2, 4), (5, 6)]
    with pytest.raises(ModuleError) as refused:
        list(functions(b"\x02\x02\x00\x0b\x02\x0b"))
    assert str(refused.value) == "function at byte 5 of the code: reaches beyond its section"
