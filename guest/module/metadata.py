"""What a module says of itself in its custom section: parameters, rules, version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from levada.guest.errors import ModuleError, ParameterError
from levada.guest.module.rules import Rule, parse_rule
from levada.guest.text.json_text import DEPTH_ON_BOARDS, parse
from levada.guest.text.ranges import between, out_of_range

__all__ = ["METADATA_SECTION", "Metadata", "Output", "Parameter", "read_metadata"]

I32_MIN: Final = -(2**31)
I32_MAX: Final = 2**31 - 1
METADATA_SECTION: Final = "levada"
LIST_MOST: Final = 64
NAME: Final = r"[A-Za-z][A-Za-z0-9_.-]{0,31}"
VERSION: Final = r"[0-9A-Za-z.+-]{1,32}"
UNIT: Final = r"[^\x00-\x1f]{0,16}"

INTEGER: Final = f"an integer within {I32_MIN} and {I32_MAX}"
ALLOWED: Final = {
    "name": f"text like {NAME}",
    "version": f"text like {VERSION}",
    "unit": f"text like {UNIT}",
    "parameters": f"a list of at most {LIST_MOST} objects",
    "outputs": f"a list of at most {LIST_MOST} objects",
    "rules": f"a list of at most {LIST_MOST} texts",
}
"""What a key may hold; those that are not here hold an integer."""
ALLOWED_ITEM: Final = {
    "rules": "text like 'a < b', 'a <= b' or 'a != b', and ' unless 0' behind it",
}
"""What an item of a list may be; those that are not here are objects."""


def given(value: object) -> object:
    """A key that may be left out is not null."""
    if value is None:
        raise ValueError
    return value


def rule_of(value: object) -> Rule:
    """The rule that a text says."""
    rule = parse_rule(value) if isinstance(value, str) else None
    if rule is None:
        raise ValueError
    return rule


I32 = Annotated[int, Field(strict=True, ge=I32_MIN, le=I32_MAX)]
Name = Annotated[str, Field(strict=True, pattern=f"^(?:{NAME})$")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One parameter that `param_get` and `param_set` know, an i32."""

    id: I32
    name: Name
    unit: Annotated[str, Field(strict=True, pattern=f"^(?:{UNIT})$")] = ""
    minimum: I32
    maximum: I32
    default: I32

    def check(self, value: int) -> int:
        """The value, or ParameterError if it is outside the range."""
        if not self.minimum <= value <= self.maximum:
            permitted = between(self.minimum, self.maximum)
            raise ParameterError(out_of_range(self.name, value, permitted, self.unit))
        return value


def default_in_range(parameter: Parameter) -> Parameter:
    """A parameter whose range contains its default."""
    if not parameter.minimum <= parameter.default <= parameter.maximum:
        raise ValueError(
            f"default {parameter.default}: must be within minimum {parameter.minimum} and "
            f"maximum {parameter.maximum}"
        )
    return parameter


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """One pin that the guest sets."""

    pin: I32
    name: Name


Short = Field(max_length=LIST_MOST)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """What the guest says of itself in the custom section `levada`."""

    name: Name
    version: Annotated[str, Field(strict=True, pattern=f"^(?:{VERSION})$")]
    abi: Annotated[I32 | None, BeforeValidator(given)] = None
    parameters: Annotated[
        tuple[Annotated[Parameter, AfterValidator(default_in_range)], ...], Short
    ] = ()
    rules: Annotated[tuple[Annotated[Rule, BeforeValidator(rule_of)], ...], Short] = ()
    """What pairs of parameters have to agree with."""
    outputs: Annotated[tuple[Output, ...], Short] = ()


@lru_cache(maxsize=1)
def validator() -> TypeAdapter[Metadata]:
    """Checks what was read from JSON, made when it is first needed."""
    return TypeAdapter(Metadata)


def read_metadata(payloads: Sequence[bytes]) -> Metadata | None:
    """Metadata from the sections of that name; ModuleError that lists all that is wrong."""
    if not payloads:
        return None
    if len(payloads) > 1:
        raise ModuleError(f"custom section levada: there are {len(payloads)}, only one is allowed")
    try:
        found: Any = parse(payloads[0].rstrip(b"\0"), DEPTH_ON_BOARDS)
    except ValueError as error:
        raise ModuleError(f"custom section levada: not JSON: {error}") from error
    try:
        metadata = validator().validate_python(found)
        wrong = list(repeated(metadata.parameters)) or list(rule_problems(metadata))
    except ValidationError as error:
        wrong = [complaint(each) for each in error.errors(include_url=False)]
    if wrong:
        raise ModuleError("custom section levada: " + "; ".join(wrong))
    return metadata


def complaint(error: ErrorDetails) -> str:
    """What was found at a place of the metadata, and what is allowed there."""
    place, where = error["loc"], ""
    for part in place:
        where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else part
    between_keys = str(error.get("ctx", {}).get("error", ""))
    if between_keys:
        return f"{where}.{between_keys}"
    key = next((part for part in reversed(place) if isinstance(part, str)), "")
    is_key = place and place[-1] == key
    allowed = ALLOWED.get(key, INTEGER) if is_key else ALLOWED_ITEM.get(key, "an object")
    if error["type"] == "missing":
        return f"{where}: missing, must be {allowed}"
    if is_key and allowed.startswith("a list"):
        return f"{where}: must be {allowed}"
    return f"{where} {error['input']!r:.80}: must be {allowed}".lstrip()


def repeated(parameters: Sequence[Parameter]) -> Iterator[str]:
    """Ids and names that several parameters have."""
    for what in ("id", "name"):
        for value, number in Counter(getattr(p, what) for p in parameters).items():
            if number > 1:
                yield f"parameters: {what} {value!r} appears {number} times"


def rule_problems(metadata: Metadata) -> Iterator[str]:
    """Rules about parameters that are not there, that the defaults break, or no host can keep."""
    known = {p.name: p for p in metadata.parameters}
    for rule in metadata.rules:
        sides = [known.get(name) for name in (rule.left, rule.right)]
        if None in sides:
            missing = rule.left if sides[0] is None else rule.right
            yield f"rule {str(rule)!r}: there is no parameter {missing!r}"
            continue
        if rule.left == rule.right:
            yield f"rule {str(rule)!r}: must compare two parameters"
            continue
        if not rule.holds({name: p.default for name, p in known.items()}):
            yield f"rule {str(rule)!r}: the defaults break it"
        has_zero = all(p is not None and p.minimum <= 0 <= p.maximum for p in sides)
        if rule.comparison == "!=" and not (rule.unless_zero and has_zero):
            # values are set one after the other: two that change places pass through 0
            yield f"rule {str(rule)!r}: != needs `unless 0`, and 0 in the range of both"
