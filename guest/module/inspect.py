"""What a guest module is, read without running it.

`inspect` lists imports, exports, memory and the metadata of the custom section `levada`, and says
everything that keeps the module from fitting the ABI.  It does not refuse: hosts do, by
`ModuleInfo.require`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from wasmtime import FuncType, MemoryType, Module

from levada.guest.abi import ABI_VERSION, IMPORT_MODULE, IMPORTS, REACTOR_EXPORTS
from levada.guest.errors import AbiError, ParameterError
from levada.guest.limits import EDGE, Budget, Profile
from levada.guest.module.arithmetic import wide_arithmetic
from levada.guest.module.features import Survey, survey
from levada.guest.module.metadata import METADATA_SECTION, Metadata, Parameter, read_metadata
from levada.guest.module.rules import Rule, check_rules
from levada.guest.module.sections import Section, sections
from levada.guest.module.state import state_in_globals
from levada.guest.module.tiers import EVERY_TIER, reached_imports, unfit_tiers
from levada.guest.wasm.engine import compile_module

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = [
    "Export",
    "Import",
    "ModuleInfo",
    "inspect",
    "render",
]

START: Final = 8
MEMORY_PAGES_MOST: Final = 65_536
ARROW: Final = "->"

STRING_IMPORTS: Final = frozenset({"mqtt_publish", "wasm_log"})
ENTRIES: Final = frozenset({"main", "_start", "__main_void", "__original_main"})
ENTRY_TYPE: Final = re.compile(r"\((i32(, i32)*)?\) -> (\(\)|i32)")
FLOAT_TYPE: Final = re.compile(r"\bf(32|64)\b")
REACTOR_NEEDED: Final = ("abi_version", "init", "step")
PARAMETER_EXPORTS: Final = ("param_get", "param_set")

Kind = Literal["reactor", "command", "pure"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """One import, e.g. `env.read_sensor (i32) -> i32`."""

    module: str
    name: str
    type: str
    """Signature of a function, or the kind of anything else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """One export."""

    name: str
    type: str
    """Signature of a function, or the kind of anything else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleInfo:
    """A guest module as it lies there."""

    sha256: str
    size: int
    """Bytes."""
    kind: Kind
    """`reactor` has `step`, `command` has `main`, `pure` has neither."""
    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    memory_pages: int
    """Pages of 64 KiB at the start; 0 without memory."""
    memory_pages_max: int | None
    """None: it may grow without limit of its own."""
    metadata: Metadata | None
    proposals: tuple[str, ...]
    """What it uses beyond WebAssembly 1.0 with integers, within the profile of its tiers."""
    keeps_globals: bool
    """Globals may hold state between two steps, so a board sleeps lightly instead of deeply."""
    unfit: Mapping[str, str]
    """Tiers that it is not fit for, and why."""
    problems: tuple[str, ...]
    """Everything that keeps it from running as a guest."""
    notes: tuple[str, ...]
    """What runs, but is worth knowing."""

    @property
    def fits(self) -> bool:
        """Whether it fits the ABI and the budget."""
        return not self.problems

    @property
    def tiers(self) -> tuple[str, ...]:
        """Where it can run; none unless it fits."""
        return tuple(t for t in EVERY_TIER if self.fits and t not in self.unfit)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Declared parameters, none without metadata."""
        return self.metadata.parameters if self.metadata else ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Declared rules between parameters, none without metadata."""
        return self.metadata.rules if self.metadata else ()

    @property
    def functions(self) -> dict[str, str]:
        """Exported functions and their signatures."""
        return {export.name: export.type for export in self.exports if ARROW in export.type}

    def parameter(self, key: str | int) -> Parameter:
        """By name or id; ParameterError names those that exist."""
        for parameter in self.parameters:
            if key in (parameter.id, parameter.name):
                return parameter
        known = ", ".join(f"{p.name} ({p.id})" for p in self.parameters) or "none"
        raise ParameterError(f"parameter {key!r}: the guest has {known}")

    def check_rules(self, values: Mapping[int, int]) -> None:
        """Raise ParameterError if parameters by id, the rest at their defaults, break a rule."""
        check_rules(self.rules, {p.name: values.get(p.id, p.default) for p in self.parameters})

    def require(self) -> ModuleInfo:
        """Itself, or AbiError that lists every problem."""
        if self.problems:
            listed = "\n".join(f"  - {problem}" for problem in self.problems)
            raise AbiError(
                f"the module does not fit ABI {ABI_VERSION}:\n{listed}\n"
                f"A guest may import from {IMPORT_MODULE}: {', '.join(IMPORTS)}."
            )
        return self


class Shape(NamedTuple):
    """What the checks look at."""

    kind: Kind
    imports: tuple[Import, ...]
    functions: dict[str, str]
    has_memory: bool
    pages: int
    pages_max: int | None
    metadata: Metadata | None
    contents: Survey


def inspect(data: bytes, *, budget: Budget | None = None) -> ModuleInfo:
    """Describe a module.

    Raises LimitError if it is larger than the budget allows (before it is parsed), has functions of
    more locals or deeper blocks than the feature profile allows, or takes too long to compile,
    FeatureError if it uses what the feature profile has not, ModuleError if it is not a valid
    module or its metadata are malformed.
    """
    return inspected(data, budget or Budget())


@lru_cache(maxsize=32)  # a run, its nodes and its twin all ask, and every instruction is read
def inspected(data: bytes, budget: Budget) -> ModuleInfo:
    """What `inspect` answers."""
    # memory over the budget is one of the problems, not an end of the inspection
    compiled = compile_module(data, replace(budget, memory_pages=MEMORY_PAGES_MOST))
    imports = tuple(
        Import(module=i.module, name=i.name or "", type=type_text(i.type)) for i in compiled.imports
    )
    exports = tuple(Export(name=e.name, type=type_text(e.type)) for e in compiled.exports)
    memory = next((e.type for e in compiled.exports if e.name == "memory"), None)
    memory = memory if isinstance(memory, MemoryType) else None
    function_names = [i.name or "" for i in compiled.imports if isinstance(i.type, FuncType)]
    contents = survey(data)
    pages, pages_max = contents.memory_pages, memory.limits.max if memory else None
    functions = {e.name: e.type for e in exports if ARROW in e.type}
    kind: Kind = (
        "reactor" if "step" in functions else "command" if ENTRIES & functions.keys() else "pure"
    )
    parts = list(sections(data))
    metadata = read_metadata([p.payload for p in parts if p.name == METADATA_SECTION])
    shape = Shape(
        kind, imports, functions, memory is not None, pages, pages_max, metadata, contents
    )
    return ModuleInfo(
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        kind=kind,
        imports=imports,
        exports=exports,
        memory_pages=pages,
        memory_pages_max=pages_max,
        metadata=metadata,
        proposals=proposals(contents),
        keeps_globals=state_in_globals(data),
        unfit=unfit_tiers(kind, number_types(compiled), reached_imports(data, function_names)),
        problems=tuple(all_problems(shape, budget, parts)),
        notes=tuple(notes(data, shape)),
    )


def number_types(module: Module) -> dict[str, tuple[list[str], list[str]]]:
    """Types of parameters and results of every exported function."""
    return {
        item.name: ([str(t) for t in item.type.params], [str(t) for t in item.type.results])
        for item in module.exports
        if isinstance(item.type, FuncType)
    }


def type_text(kind: Any) -> str:
    """`(i32, i32) -> i32` for a function, `memory`, `table`, `global` for the rest."""
    if isinstance(kind, FuncType):
        return signature([str(t) for t in kind.params], [str(t) for t in kind.results])
    return type(kind).__name__.removesuffix("Type").lower()


def signature(parameters: Sequence[str], results: Sequence[str]) -> str:
    """How a function type is written in messages and tables."""
    return f"({', '.join(parameters)}) {ARROW} {', '.join(results) or '()'}"


def abi_signature(types: tuple[str, str]) -> str:
    """The same for an entry of the tables in `levada.guest.abi`."""
    return signature(["i32"] * len(types[0]), ["i32"] * len(types[1]))


def all_problems(shape: Shape, budget: Budget, parts: Sequence[Section]) -> list[str]:
    """Everything that keeps it from running; what a signature shows is said once."""
    found = [
        *import_problems(shape),
        *export_problems(shape),
        *memory_problems(shape, budget),
        *other_problems(shape, parts),
    ]
    floats = shape.contents.floats
    if floats and shape.kind != "pure" and not any(FLOAT_TYPE.search(text) for text in found):
        found.append(f"{floats}; a node has integers only")
    return found + [str(excess) for excess in shape.contents.excess]


def import_problems(shape: Shape) -> Iterator[str]:
    """Imports that no host of the ABI has."""
    for item in shape.imports:
        full = f"{item.module}.{item.name}"
        if item.module != IMPORT_MODULE or item.name not in IMPORTS:
            yield f"import {full} {item.type}: outside the ABI"
        elif item.type != (wanted := abi_signature(IMPORTS[item.name])):
            yield f"import {full} {item.type}: the ABI says {wanted}"
    strings = sorted(STRING_IMPORTS & {item.name for item in shape.imports})
    if strings and not shape.has_memory:
        yield f"export memory: missing, {' and '.join(strings)} read strings from it"


def export_problems(shape: Shape) -> Iterator[str]:
    """Exports that a host calls and does not find, or finds with another type."""
    if not shape.functions:
        yield "exports: no function, so there is nothing to run"
    if shape.kind == "reactor":
        needed = list(REACTOR_NEEDED)
        if shape.metadata and shape.metadata.parameters:
            needed += PARAMETER_EXPORTS
        for name in needed:
            if name not in shape.functions:
                reason = ", it declares parameters" if name in PARAMETER_EXPORTS else ""
                yield f"export {name}: missing, a reactor guest has it{reason}"
        for name, types in REACTOR_EXPORTS.items():
            found, wanted = shape.functions.get(name), abi_signature(types)
            if found not in (None, wanted):
                yield f"export {name} {found}: the ABI says {wanted}"
    elif shape.kind == "command":
        for name in sorted(ENTRIES & shape.functions.keys()):
            if not ENTRY_TYPE.fullmatch(shape.functions[name]):
                yield f"export {name} {shape.functions[name]}: only i32 arguments and result"


def memory_problems(shape: Shape, budget: Budget) -> Iterator[str]:
    """Memory that the budget does not allow."""
    if shape.pages > budget.memory_pages:
        yield f"memory of {shape.pages} pages at the start: at most {budget.memory_pages} allowed"


def other_problems(shape: Shape, parts: Sequence[Section]) -> Iterator[str]:
    """Start functions, and guests of another ABI."""
    if any(part.kind == START for part in parts):
        yield "start function: not allowed, an ESP32 could not stop it"
    if shape.metadata and shape.metadata.abi not in (None, ABI_VERSION):
        yield f"written for ABI {shape.metadata.abi}: this is ABI {ABI_VERSION}"


def proposals(contents: Survey) -> tuple[str, ...]:
    """Names of what a module uses beyond 1.0 and integers."""
    used = ("sign extension",) if contents.sign_extension else ()
    return (*used, "floating point") if contents.floats else used


def notes(data: bytes, shape: Shape) -> Iterator[str]:
    """What does no harm here, but is worth knowing on a small node."""
    wide = wide_arithmetic(data)
    if wide:
        yield f"computes with {', '.join(sorted(wide))}: a guest of the ABI needs i32 only"
    if shape.pages > 1:
        yield f"starts with {shape.pages} pages of memory: an ESP32 has room for one"
    if shape.has_memory and shape.pages_max is None:
        yield "memory without a maximum: only the budget bounds it"
    if shape.kind == "reactor" and shape.metadata is None:
        yield "no metadata: hosts know neither its name nor its parameters"


def render(
    info: ModuleInfo, name: str = "", *, budget: Budget | None = None, profile: Profile = EDGE
) -> RenderableType:
    """What `levada guest inspect` shows, for rich."""
    from levada.guest.module.view import view

    return view(info, name, budget or Budget(), profile)
