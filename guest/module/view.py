"""A guest module for people: the tables of `levada guest inspect`."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from levada.guest.abi import ABI_VERSION, REACTOR_EXPORTS
from levada.guest.limits import Budget, Profile
from levada.guest.module.inspect import ModuleInfo
from levada.guest.text.plain import plain

__all__ = ["view"]

PAGE_KIB = 64
BAR_CELLS = 24


def view(info: ModuleInfo, name: str, budget: Budget, profile: Profile) -> RenderableType:
    """Verdict, facts, imports, exports, parameters."""
    parts: list[RenderableType] = [verdict(info, name), "", facts(info, budget), ""]
    if info.imports:
        parts += [imports(info, profile), ""]
    if info.functions:
        parts += [exports(info), ""]
    if info.parameters:
        parts += [parameters(info), ""]
    if info.rules:
        parts += [rules(info), ""]
    return Group(*parts)


def verdict(info: ModuleInfo, name: str) -> RenderableType:
    """Whether it fits, and everything that is to be said about that."""
    title = Text(plain(name or "guest"), "bold")
    if info.metadata:
        title = Text.assemble((info.metadata.name, "bold"), f" {info.metadata.version}")
        title.append(f"  {name}" if name else "", "dim")
    lines = [title]
    if info.fits:
        lines.append(Text(f"✓ fits ABI {ABI_VERSION}", "bold green"))
    else:
        lines.append(Text(f"✗ does not fit ABI {ABI_VERSION}", "bold red"))
    lines += [Text(plain(f"  ✗ {problem}"), "red") for problem in info.problems]
    lines += [Text(plain(f"  – {note}"), "yellow") for note in info.notes]
    return Group(*lines)


def facts(info: ModuleInfo, budget: Budget) -> Table:
    """Kind, size, memory, sleep, SHA-256."""
    meaning = {
        "reactor": "the host calls step",
        "command": "main loops and yields in delay_ms",
        "pure": "functions only",
    }
    grown = {None: ", may grow", info.memory_pages: ""}.get(
        info.memory_pages_max, f", at most {info.memory_pages_max}"
    )
    pages = f"{info.memory_pages} page{'' if info.memory_pages == 1 else 's'} of {PAGE_KIB} KiB"
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("kind", Text.assemble(info.kind, (f"  {meaning[info.kind]}", "dim")))
    table.add_row("size", used(info.size, budget.module_bytes, "bytes"))
    table.add_row("memory", Text(pages + grown if info.memory_pages else "none"))
    table.add_row("features", Text(", ".join(("WebAssembly 1.0", *info.proposals))))
    table.add_row("tiers", Text(", ".join(info.tiers) or "none"))
    for reason, names in unfit(info).items():
        table.add_row("", Text(plain(f"not {' and '.join(names)}: {reason}"), "yellow"))
    if info.kind == "reactor":
        table.add_row("deep sleep", Text(deep_sleep(info)))
    elif info.kind == "command":
        table.add_row("deep sleep", Text("never: main is in the middle of a call"))
    if info.metadata and info.metadata.outputs:
        pins = ", ".join(f"{output.name} {output.pin}" for output in info.metadata.outputs)
        table.add_row("outputs", Text(plain(pins)))
    table.add_row("SHA-256", Text(info.sha256))
    return table


def unfit(info: ModuleInfo) -> dict[str, list[str]]:
    """Tiers that a module which fits the ABI is not fit for, by the reason."""
    found: dict[str, list[str]] = {}
    for tier, reason in info.unfit.items() if info.fits else ():
        found.setdefault(reason, []).append(tier)
    return found


def deep_sleep(info: ModuleInfo) -> str:
    """What a board in the field does with a guest that waits."""
    if info.keeps_globals:
        return "light sleep instead: its globals may hold state, and only memory is kept"
    return "as far as its memory fits; its globals hold no state"


def used(number: int, most: int, unit: str) -> Text:
    """A number, the budget, and a bar."""
    share = number / most
    cells = min(BAR_CELLS, max(1, round(share * BAR_CELLS)))
    colour = "green" if share <= 0.5 else "yellow" if share <= 1 else "red"
    return Text.assemble(
        f"{number:,} of {most:,} {unit}  ",
        ("━" * cells, colour),
        ("━" * (BAR_CELLS - cells), "bright_black"),
        f" {share:.0%}",
    )


def listing(title: str, *columns: str) -> Table:
    """An empty table of the one style."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for column in columns:
        table.add_column(column, header_style="dim")
    return table


def imports(info: ModuleInfo, profile: Profile) -> Table:
    """Imports, and what the profile of the tier says to them."""
    table = listing("Imports", "name", "type", f"tier {profile.name}")
    refused = " ".join(info.problems)
    for item in info.imports:
        full = f"{item.module}.{item.name}"
        if f"import {full} " in refused:
            state = Text("✗ not in the ABI", "red")
        elif item.name in profile.imports:
            state = Text("✓", "green")
        else:
            state = Text("traps when called", "yellow")
        table.add_row(Text(plain(full)), Text(item.type), state)
    return table


def exports(info: ModuleInfo) -> Table:
    """Exported functions; those that the ABI knows come first."""
    table = listing("Exports", "name", "type")
    known = [name for name in REACTOR_EXPORTS if name in info.functions]
    others = [name for name in info.functions if name not in REACTOR_EXPORTS]
    for name in known + others:
        style = "" if name in known else "dim"
        table.add_row(Text(plain(name), style), Text(info.functions[name], style))
    return table


def parameters(info: ModuleInfo) -> Table:
    """Parameters with ranges."""
    table = listing("Parameters", "id", "name", "default", "from", "to", "unit")
    for column in (0, 2, 3, 4):
        table.columns[column].justify = "right"
    for p in info.parameters:
        numbers = [f"{n:,}" for n in (p.default, p.minimum, p.maximum)]
        table.add_row(str(p.id), Text(plain(p.name), "cyan"), *numbers, Text(plain(p.unit)))
    return table


def rules(info: ModuleInfo) -> Table:
    """What pairs of parameters have to agree with."""
    table = listing("Rules", "between parameters")
    for rule in info.rules:
        table.add_row(Text(str(rule), "cyan"))
    return table
