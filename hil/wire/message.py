"""What a message is: fields with their forms, and how they become bytes and are read."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Self,
    TypeVar,
    dataclass_transform,
    get_args,
    get_type_hints,
)

from levada.hil.errors import HilError

__all__ = [
    "I32",
    "I64",
    "MAX_BODY",
    "MESSAGES",
    "U8",
    "U16",
    "U32",
    "U64",
    "Bytes16",
    "Form",
    "I32x3",
    "I32x4",
    "Message",
    "MessageError",
    "Pairs",
    "Rest",
    "Sha256",
    "Text16",
    "Text24",
    "Text32",
    "Text40",
    "U8x16",
    "message_type",
]


MAX_BODY: Final = 1024
"""Longest body of a message [bytes]; it bounds the buffers of the firmware."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a field looks on the wire."""

    kind: str
    """`int`, `ints`, `text`, `bytes`, `tail` (rest of the body) or `pairs` (rest: i32, i32)."""
    code: str = ""
    """Of the module `struct`."""
    count: int = 1


U8 = Annotated[int, Form("int", "B")]
U16 = Annotated[int, Form("int", "H")]
U32 = Annotated[int, Form("int", "I")]
U64 = Annotated[int, Form("int", "Q")]
I32 = Annotated[int, Form("int", "i")]
I64 = Annotated[int, Form("int", "q")]
I32x3 = Annotated[tuple[int, int, int], Form("ints", "i", 3)]
I32x4 = Annotated[tuple[int, int, int, int], Form("ints", "i", 4)]
U8x16 = Annotated[tuple[int, ...], Form("ints", "B", 16)]
Text16 = Annotated[str, Form("text", "s", 16)]
Text24 = Annotated[str, Form("text", "s", 24)]
Text32 = Annotated[str, Form("text", "s", 32)]
Text40 = Annotated[str, Form("text", "s", 40)]
"""UTF-8, filled with NUL; at least one NUL stays."""
Sha256 = Annotated[bytes, Form("bytes", "s", 32)]
Bytes16 = Annotated[bytes, Form("bytes", "s", 16)]
Rest = Annotated[bytes, Form("tail")]
Pairs = Annotated[tuple[tuple[int, int], ...], Form("pairs", "i", 2)]


class MessageError(HilError, ValueError):
    """A body that does not fit its message; says which and how."""


class Message:
    """Base of all messages."""

    __slots__ = ()

    TYPE: ClassVar[int]
    FORMS: ClassVar[tuple[tuple[str, Form], ...]]
    """Name and form of every field, in wire order."""
    layout: ClassVar[struct.Struct]
    """Of the fixed part of the body."""
    _has_tail: ClassVar[bool]
    _setters: ClassVar[tuple[Callable[[Any, Any], None], ...]]
    """Of all slots in wire order, if every field is a number or the rest of the body."""

    def encode(self) -> bytes:
        """Body of the message; raises MessageError if a value does not fit."""
        flat: list[Any] = []
        tail = b""
        for name, form in self.FORMS:
            value = getattr(self, name)
            if form.kind == "int":
                flat.append(value)
            elif form.kind == "ints":
                if len(value) != form.count:
                    raise MessageError(f"{self._named(name)} = {value}: {form.count} values wanted")
                flat.extend(value)
            elif form.kind == "text":
                raw = value.encode()
                if len(raw) >= form.count or 0 in raw:
                    raise MessageError(
                        f"{self._named(name)} = {value!r}: at most {form.count - 1} bytes, no NUL"
                    )
                flat.append(raw)
            elif form.kind == "bytes":
                if len(value) != form.count:
                    raise MessageError(
                        f"{self._named(name)} has {len(value)} bytes: {form.count} wanted"
                    )
                flat.append(value)
            elif form.kind == "tail":
                tail = bytes(value)
            else:
                tail = self._encode_pairs(name, value)
        try:
            body = self.layout.pack(*flat) + tail
        except struct.error as error:
            raise MessageError(f"{self!r}: {error}") from error
        if len(body) > MAX_BODY:
            raise MessageError(
                f"{type(self).__name__} has {len(body)} bytes: at most {MAX_BODY} allowed"
            )
        return body

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Message of a body; raises MessageError if it does not fit."""
        fixed = cls.layout.size
        if len(body) < fixed or (len(body) > fixed and not cls._has_tail):
            raise MessageError(f"{cls.__name__} has {len(body)} bytes: {fixed} wanted")
        flat = cls.layout.unpack_from(body)
        if cls._setters:  # results of steps come by the ten thousand
            made = cls.__new__(cls)
            for put, value in zip(cls._setters, (*flat, body[fixed:]), strict=False):
                put(made, value)
            return made
        values: list[Any] = []
        at = 0
        for name, form in cls.FORMS:
            if form.kind == "int" or form.kind == "bytes":
                values.append(flat[at])
                at += 1
            elif form.kind == "ints":
                values.append(flat[at : at + form.count])
                at += form.count
            elif form.kind == "text":
                values.append(cls._decode_text(name, flat[at]))
                at += 1
            elif form.kind == "tail":
                values.append(body[fixed:])
            else:
                values.append(cls._decode_pairs(name, body[fixed:]))
        return cls(**dict(zip((n for n, _ in cls.FORMS), values, strict=True)))

    @classmethod
    def fixed_bytes(cls) -> int:
        """Length of the body without its variable end."""
        return cls.layout.size

    @classmethod
    def _named(cls, name: str) -> str:
        return f"{cls.__name__}.{name}"

    @classmethod
    def _encode_pairs(cls, name: str, pairs: Iterable[tuple[int, int]]) -> bytes:
        try:
            return b"".join(struct.pack("<ii", a, b) for a, b in pairs)
        except struct.error as error:
            raise MessageError(f"{cls._named(name)}: {error}") from error

    @classmethod
    def _decode_pairs(cls, name: str, tail: bytes) -> tuple[tuple[int, int], ...]:
        if len(tail) % 8:
            raise MessageError(f"{cls._named(name)} has {len(tail)} bytes: a multiple of 8 wanted")
        return tuple(struct.iter_unpack("<ii", tail))

    @classmethod
    def _decode_text(cls, name: str, raw: bytes) -> str:
        text, nul, rest = raw.partition(b"\0")
        if not nul or rest.strip(b"\0"):
            raise MessageError(f"{cls._named(name)} = {raw!r}: text, then only NUL wanted")
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise MessageError(f"{cls._named(name)} = {raw!r}: not UTF-8") from error


_M = TypeVar("_M", bound=Message)


_VARIABLE: Final = ("tail", "pairs")


MESSAGES: Final[dict[int, type[Message]]] = {}
"""Every message by its type; filled by `levada.hil.wire.messages`, from which to import it."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def message_type(type_number: int) -> Callable[[type[_M]], type[_M]]:
    """Make a class a message of that type and enter it into the table."""

    def enter(cls: type[_M]) -> type[_M]:
        hints = get_type_hints(cls, include_extras=True)
        made = dataclass(frozen=True, kw_only=True, slots=True)(cls)
        made.TYPE = type_number
        made.FORMS = tuple((name, get_args(hints[name])[1]) for name in cls.__annotations__)
        codes = [f"{form.count}{form.code}" for _, form in made.FORMS if form.kind not in _VARIABLE]
        made.layout = struct.Struct("<" + "".join(codes))
        plain = all(form.kind in ("int", "tail") for _, form in made.FORMS)
        made._setters = tuple(vars(made)[n].__set__ for n, _ in made.FORMS) if plain else ()
        made._has_tail = any(form.kind in _VARIABLE for _, form in made.FORMS)
        assert type_number not in MESSAGES
        MESSAGES[type_number] = made
        return made

    return enter
