"""Writes `firmware/core/levada_messages.h` and `.c`: the message table and the ABI as C.

`python -m levada.hil.wire.messages_c` writes both; a test compares them with what this module says.
"""

from __future__ import annotations

import re
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Final

from levada.guest.abi import ABI_VERSION, KEEP_SLOTS, Call, ConfigKey, ErrorCode, Sensor, TrapKind
from levada.hil.wire import messages
from levada.hil.wire.message import MAX_BODY, Form, Message
from levada.hil.wire.messages import MESSAGES, WIRE_VERSION

__all__ = ["CORE", "c_files"]

CORE: Final = Path(__file__).resolve().parents[2] / "firmware" / "core"
"""Where the generated files are."""

_C_TYPE: Final = {
    "B": "uint8_t",
    "H": "uint16_t",
    "I": "uint32_t",
    "Q": "uint64_t",
    "i": "int32_t",
    "q": "int64_t",
}
_BYTES: Final = {"B": 1, "H": 2, "I": 4, "i": 4, "Q": 8, "q": 8, "s": 1}

_ABI: Final[tuple[tuple[str, type[IntEnum]], ...]] = (
    ("CALL", Call),
    ("SENSOR", Sensor),
    ("CONFIG", ConfigKey),
    ("RESULT", ErrorCode),
    ("TRAP", TrapKind),
)
_WIRE: Final[tuple[tuple[str, type[IntEnum] | type[IntFlag]], ...]] = (
    ("RESET", messages.ResetReason),
    ("START", messages.StartFlag),
    ("STEP", messages.StepFlag),
    ("BIRTH", messages.BirthFlag),
    ("FAULT", messages.FaultKind),
    ("AT", messages.FaultPoint),
    ("UPDATE", messages.UpdateState),
    ("REASON", messages.UpdateReason),
    ("TRIAL", messages.TrialFlag),
)


_NOTICE: Final = (
    "/* Written by hil/wire/messages_c.py from hil/wire/messages.py and guest/abi.py; "
    "do not edit.\n"
    " * Every body is packed, little endian; docs/wire.md explains the messages. */\n"
)


def c_files() -> dict[str, str]:
    """Name and text of the header and of its source."""
    return {"levada_messages.h": _header(), "levada_messages.c": _source()}


def _header() -> str:
    parts = [
        _NOTICE + "#ifndef LEVADA_MESSAGES_H\n#define LEVADA_MESSAGES_H\n\n"
        "#include <stddef.h>\n#include <stdint.h>\n\n"
        f"#define LV_ABI_VERSION {ABI_VERSION}\n"
        f"#define LV_KEEP_SLOTS {KEEP_SLOTS}\n"
        f"#define LV_SENSORS {len(Sensor)}\n"
        f"#define LV_WIRE_VERSION {WIRE_VERSION}\n"
        f"#define LV_MAX_BODY {MAX_BODY} /* bytes */\n"
    ]
    parts += [_enumeration(prefix, values) for prefix, values in (*_ABI, *_WIRE)]
    parts.append(_status())
    parts.append(
        _enum("MSG", {_snake(m.__name__).upper(): t for t, m in sorted(MESSAGES.items())}, True)
    )
    parts.append(_CONTRACT)
    parts += [_declaration(m) for _, m in sorted(MESSAGES.items())]
    parts.append(f"{_COPY_CONTRACT}\n{_COPY};\n")
    parts.append("#endif\n")
    return "\n".join(parts)


def _source() -> str:
    head = f'{_NOTICE}#include "levada_messages.h"\n\n#include <string.h>\n\n#include "bytes.h"\n'
    return "\n".join([head, *(_definition(m) for _, m in sorted(MESSAGES.items())), _copy()])


_CONTRACT: Final = """\
/*
 * Of every message below, where neither pointer may be NULL, but that of a body of no bytes:
 *
 * lv_msg_*_unpack reads a body of `length` bytes into *m: LV_OK, LV_NAK_LENGTH, or LV_NAK_VALUE for
 * a text field that no NUL closes, and then *m is not to be used.  Fields that are pointers point
 * into the body, which must outlive them.
 *
 * lv_msg_*_pack writes *m to a body with room for LV_MAX_BODY bytes, which *m with its tail must
 * not exceed: the length of the body.
 */
"""

_COPY: Final = """\
lv_status lv_message_copy(uint8_t type, const uint8_t *body, size_t length, uint8_t *out,
                          size_t *copied)"""
_COPY_CONTRACT: Final = """\
/* A body of that type unpacked and packed again into `out`, which has room for LV_MAX_BODY bytes,
 * with its length in *copied; or why it is none, with LV_NAK_UNKNOWN for another type.  It tries
 * both directions at once, and no board calls it. */"""


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _enumeration(prefix: str, values: type[IntEnum] | type[IntFlag]) -> str:
    return _enum(prefix, {v.name or "": v.value for v in values}, False)


def _enum(prefix: str, values: dict[str, int], hexadecimal: bool) -> str:
    lines = [
        f"    LV_{prefix}_{name} = {f'0x{value:02x}' if hexadecimal else value},"
        for name, value in values.items()
    ]
    return "\n".join([f"enum lv_{prefix.lower()} {{", *lines, "};\n"])


def _status() -> str:
    """What functions of the core answer: the reasons of a Nak, and that there is none."""
    lines = ["    LV_OK = 0,", *(f"    LV_NAK_{e.name} = {e.value}," for e in messages.NakError)]
    return "\n".join(
        ["/* LV_OK, or why a request is refused. */", "typedef enum {", *lines, "} lv_status;\n"]
    )


def _member(name: str, form: Form) -> str:
    if form.kind == "tail":
        return f"    const uint8_t *{name};\n    uint16_t {name}_length;"
    if form.kind == "pairs":
        return f"    const uint8_t *{name}; /* i32, i32 each */\n    uint16_t {name}_count;"
    if form.kind == "text":
        return f"    char {name}[{form.count}];"
    if form.kind == "bytes":
        return f"    uint8_t {name}[{form.count}];"
    if form.kind == "ints":
        return f"    {_C_TYPE[form.code]} {name}[{form.count}];"
    return f"    {_C_TYPE[form.code]} {name};"


def _get(code: str, at: int | str) -> str:
    cast = f"({_C_TYPE[code]})" if code in "iq" else ""
    return f"{cast}lv_get{8 * _BYTES[code]}(body + {at})"


def _put(code: str, at: int | str, value: str) -> str:
    cast = f"(uint{8 * _BYTES[code]}_t)" if code in "iq" else ""
    return f"lv_put{8 * _BYTES[code]}(body + {at}, {cast}{value});"


def _unpack(name: str) -> str:
    head = f"lv_status lv_msg_{name}_unpack("
    words = f"const uint8_t *body, size_t length, lv_msg_{name} *m)"
    return head + (
        words
        if len(head + words) < 100
        else words.replace("length, ", f"length,\n{' ' * len(head)}")
    )


def _pack(name: str) -> str:
    return f"size_t lv_msg_{name}_pack(const lv_msg_{name} *m, uint8_t *body)"


def _declaration(message: type[Message]) -> str:
    name = _snake(message.__name__)
    return "\n".join(
        [
            f"/* {(message.__doc__ or '').splitlines()[0]} */",
            "typedef struct {",
            *([_member(n, f) for n, f in message.FORMS] or ["    uint8_t none;"]),
            f"}} lv_msg_{name};\n",
            f"/* Reads the body of {message.__name__}. */\n{_unpack(name)};",
            f"/* Writes the body of {message.__name__}. */\n{_pack(name)};\n",
        ]
    )


def _definition(message: type[Message]) -> str:
    name = _snake(message.__name__)
    fixed = message.fixed_bytes()
    unpack: list[str] = []
    pack: list[str] = []
    at = 0
    total = str(fixed)
    test = f"length != {fixed}"
    for field, form in message.FORMS:
        size = _BYTES.get(form.code, 0) * form.count
        if form.kind == "int":
            unpack.append(f"    m->{field} = {_get(form.code, at)};")
            pack.append(f"    {_put(form.code, at, f'm->{field}')}")
        elif form.kind == "ints":
            step = _BYTES[form.code]
            loop = f"    for (int i = 0; i < {form.count}; i++)\n        "
            where = f"{at} + {step} * i" if step > 1 else f"{at} + i"
            unpack.append(f"{loop}m->{field}[i] = {_get(form.code, where)};")
            pack.append(f"{loop}{_put(form.code, where, f'm->{field}[i]')}")
        elif form.kind in ("text", "bytes"):
            if form.kind == "text":
                unpack.append(
                    f"    if (!lv_text_ok(body + {at}, {size}))\n        return LV_NAK_VALUE;"
                )
            unpack.append(f"    memcpy(m->{field}, body + {at}, {size});")
            pack.append(f"    memcpy(body + {at}, m->{field}, {size});")
        elif form.kind == "tail":
            test = f"length < {fixed} || length > LV_MAX_BODY" if fixed else "length > LV_MAX_BODY"
            total = f"{fixed} + (size_t)m->{field}_length"
            unpack.append(
                f"    m->{field} = body + {at};\n"
                f"    m->{field}_length = (uint16_t)(length - {fixed});"
            )
            pack.append(
                f"    if (m->{field}_length)\n"
                f"        memcpy(body + {at}, m->{field}, m->{field}_length);"
            )
        else:
            test = f"length < {fixed} || length > LV_MAX_BODY || (length - {fixed}) % 8"
            total = f"{fixed} + 8 * (size_t)m->{field}_count"
            unpack.append(
                f"    m->{field} = body + {at};\n"
                f"    m->{field}_count = (uint16_t)((length - {fixed}) / 8);"
            )
            pack.append(
                f"    if (m->{field}_count)\n"
                f"        memcpy(body + {at}, m->{field}, 8 * (size_t)m->{field}_count);"
            )
        at += size
    if not message.FORMS:
        unpack = ["    (void)body;", "    m->none = 0;"]
        pack = ["    (void)m;", "    (void)body;"]
    return "\n".join(
        [
            f"{_unpack(name)}\n{{",
            f"    if ({test})\n        return LV_NAK_LENGTH;",
            *unpack,
            "    return LV_OK;\n}\n",
            f"{_pack(name)}\n{{",
            *pack,
            f"    return {total};\n}}\n",
        ]
    )


def _copy() -> str:
    cases = []
    for _, message in sorted(MESSAGES.items()):
        name = _snake(message.__name__)
        cases.append(
            f"    case LV_MSG_{name.upper()}: {{\n"
            f"        lv_msg_{name} m;\n"
            f"        lv_status status = lv_msg_{name}_unpack(body, length, &m);\n"
            "        if (status == LV_OK)\n"
            f"            *copied = lv_msg_{name}_pack(&m, out);\n"
            "        return status;\n"
            "    }"
        )
    return "\n".join(
        [
            f"{_COPY}\n{{",
            "    switch (type) {",
            *cases,
            "    default:\n        return LV_NAK_UNKNOWN;\n    }\n}\n",
        ]
    )


def main() -> None:
    """Write both files."""
    for name, text in c_files().items():
        (CORE / name).write_text(text)


if __name__ == "__main__":
    main()
