"""What a module says of itself in its custom section: parameters, rules, version."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from levada.guest.errors import ModuleError, ParameterError
from levada.guest.module.rules import Rule, parse_rule
from levada.guest.text.json_text import DEPTH_ON_BOARDS, parse
from levada.guest.text.ranges import between, out_of_range

__all__ = ["METADATA_SECTION", "Metadata", "Output", "Parameter", "read_metadata"]

I32_MIN: Final = -(2**31)
I32_MAX: Final = 2**31 - 1
METADATA_SECTION: Final = "levada"
MISSING_INTEGER: Final = I32_MIN - 1
MISSING_TEXT: Final = ""
LIST_MOST: Final = 64
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")
VERSION: Final = re.compile(r"[0-9A-Za-z.+-]{1,32}")
UNIT: Final = re.compile(r"[^\x00-\x1f]{0,16}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One parameter that `param_get` and `param_set` know, an i32."""

    id: int
    name: str
    unit: str
    minimum: int
    maximum: int
    default: int

    def check(self, value: int) -> int:
        """The value, or ParameterError if it is outside the range."""
        if not self.minimum <= value <= self.maximum:
            permitted = between(self.minimum, self.maximum)
            raise ParameterError(out_of_range(self.name, value, permitted, self.unit))
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """One pin that the guest sets."""

    pin: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """What the guest says of itself in the custom section `levada`."""

    name: str
    version: str
    abi: int | None = None
    parameters: tuple[Parameter, ...] = ()
    rules: tuple[Rule, ...] = ()
    """What pairs of parameters have to agree with."""
    outputs: tuple[Output, ...] = ()


def read_metadata(payloads: Sequence[bytes]) -> Metadata | None:
    """Metadata from the sections of that name; ModuleError that lists all that is wrong."""
    if not payloads:
        return None
    if len(payloads) > 1:
        raise ModuleError(f"custom section levada: there are {len(payloads)}, only one is allowed")
    text = payloads[0].rstrip(b"\0")
    try:
        found = parse(text, DEPTH_ON_BOARDS)
    except ValueError as error:
        raise ModuleError(f"custom section levada: not JSON: {error}") from error
    wrong: list[str] = []
    reader = Reader(found if isinstance(found, dict) else {}, "", wrong)
    if not isinstance(found, dict):
        wrong.append(f"{found!r:.40}: must be an object")
    metadata = Metadata(
        name=reader.text("name", NAME),
        version=reader.text("version", VERSION),
        abi=reader.integer("abi") if "abi" in reader.values else None,
        parameters=tuple(read_parameter(r) for r in reader.objects("parameters")),
        rules=tuple(reader.rules()),
        outputs=tuple(
            Output(pin=r.integer("pin"), name=r.text("name", NAME))
            for r in reader.objects("outputs")
        ),
    )
    for what, values in (
        ("id", [p.id for p in metadata.parameters]),
        ("name", [p.name for p in metadata.parameters]),
    ):
        wrong += [
            f"parameters: {what} {value!r} appears {number} times"
            for value, number in Counter(values).items()
            if number > 1 and value not in (MISSING_INTEGER, MISSING_TEXT)
        ]
    if not wrong:
        wrong += rule_problems(metadata)
    if wrong:
        raise ModuleError("custom section levada: " + "; ".join(wrong))
    return metadata


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


def read_parameter(reader: Reader) -> Parameter:
    """One parameter; its range must contain its default."""
    parameter = Parameter(
        id=reader.integer("id"),
        name=reader.text("name", NAME),
        unit=reader.text("unit", UNIT) if "unit" in reader.values else "",
        minimum=reader.integer("minimum"),
        maximum=reader.integer("maximum"),
        default=reader.integer("default"),
    )
    if MISSING_INTEGER not in (parameter.minimum, parameter.maximum, parameter.default) and not (
        parameter.minimum <= parameter.default <= parameter.maximum
    ):
        reader.wrong.append(
            f"{reader.where}default {parameter.default}: must be within minimum "
            f"{parameter.minimum} and maximum {parameter.maximum}"
        )
    return parameter


class Reader:
    """Takes typed values from one JSON object and collects what is wrong with them."""

    def __init__(self, values: dict[str, Any], where: str, wrong: list[str]) -> None:
        self.values = values
        self.where = where
        self.wrong = wrong

    def take(self, key: str, allowed: str) -> Any:
        """The value, or None and a complaint if there is none."""
        if key not in self.values:
            self.wrong.append(f"{self.where}{key}: missing, must be {allowed}")
        return self.values.get(key)

    def complain(self, key: str, value: object, allowed: str) -> None:
        """Note that a value is not what it must be."""
        self.wrong.append(f"{self.where}{key} {value!r:.40}: must be {allowed}")

    def text(self, key: str, pattern: re.Pattern[str]) -> str:
        """A string of a pattern."""
        value = self.take(key, f"text like {pattern.pattern}")
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        if key in self.values:
            self.wrong.append(
                f"{self.where}{key} {value!r:.40}: must be text like {pattern.pattern}"
            )
        return MISSING_TEXT

    def integer(self, key: str) -> int:
        """A 32-bit integer."""
        value = self.take(key, "an integer")
        if type(value) is int and I32_MIN <= value <= I32_MAX:
            return value
        if key in self.values:
            self.complain(key, value, f"an integer within {I32_MIN} and {I32_MAX}")
        return MISSING_INTEGER

    def rules(self) -> Iterator[Rule]:
        """The rules between parameters; none if there is no such key."""
        value = self.values.get("rules", [])
        if not isinstance(value, list) or len(value) > LIST_MOST:
            self.wrong.append(f"rules: must be a list of at most {LIST_MOST} texts")
            return
        for index, item in enumerate(value):
            rule = parse_rule(item) if isinstance(item, str) else None
            if rule is None:
                allowed = "text like 'a < b', 'a <= b' or 'a != b', and ' unless 0' behind it"
                self.wrong.append(f"rules[{index}] {item!r:.80}: must be {allowed}")
            else:
                yield rule

    def objects(self, key: str) -> Iterator[Reader]:
        """Readers for a list of objects; none if the key is absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or len(value) > LIST_MOST:
            self.wrong.append(f"{self.where}{key}: must be a list of at most {LIST_MOST} objects")
            return
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield Reader(item, f"{key}[{index}].", self.wrong)
            else:
                self.wrong.append(f"{key}[{index}] {item!r:.40}: must be an object")
