"""Prints code, RAM and stack of the firmware core, for each compiler given; `esp32` is LLVM's.

Code and RAM come from the compiler's objects (-Os), the stack from its call graph (GCC's
-fcallgraph-info; LLVM's intermediate code, with the frames in its assembly): the deepest path from
`lv_link_receive`, and below what the port's callbacks and the engine use themselves.  With
`--sodium` also of the verification of a signature, by GCC: the files of libsodium that it takes,
and the deepest path from `lv_manifest_open`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CORE = Path(__file__).parent / "core"
FLAGS = ["-std=c11", "-Os", "-DNDEBUG", "-fcallgraph-info=su", "-ffunction-sections"]
FLAGS += ["-fdata-sections", "-fno-asynchronous-unwind-tables", "-c"]
ESP32 = Path(__file__).parent / "port" / "qemu-esp32"
STRUCTS = ("lv_frame_decoder", "lv_store", "lv_host", "lv_node", "lv_link")
ENTRY = "lv_link_receive"
MANIFEST = "lv_manifest_open"
VERIFY = "crypto_sign_ed25519_verify_detached"
SODIUM = (
    "crypto_sign/ed25519/ref10/open.c",
    "crypto_core/ed25519/ref10/ed25519_ref10.c",
    "crypto_hash/sha512/cp/hash_sha512_cp.c",
    "crypto_verify/verify.c",
)
MESSAGES = "levada_messages"
"""Packs and unpacks every message for every caller: a board has what its core calls."""
NODE = re.compile(r'node: \{ title: "([^"]+)" label: "[^"]*?\\n(\d+) bytes')
EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')


def run(*command: str | Path) -> str:
    """Output of a command that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def deepest(graphs: list[str], entry: str = ENTRY) -> tuple[int, list[str]]:
    """Bytes and functions of the deepest path."""
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for graph in graphs:
        frames |= {name: int(size) for name, size in NODE.findall(graph)}
        for caller, callee in EDGE.findall(graph):
            calls.setdefault(caller, set()).add(callee)
    # requests are dispatched by a table: any function of link.c that takes a reply
    handlers = {name for name in frames if "link.c:" in name}

    def path(name: str, above: tuple[str, ...] = ()) -> tuple[int, list[str]]:
        below: tuple[int, list[str]] = (0, [])
        targets = calls.get(name, set())
        if "__indirect_call" in targets and name.endswith(":execute"):
            targets = targets | handlers - {*above, name}
        if "__indirect_call" in targets and (name == MANIFEST or "manifest.c:" in name):
            targets = targets | {VERIFY}
        for target in targets:
            if target not in above and target != name:
                below = max(below, path(target, (*above, name)), key=lambda found: found[0])
        return frames.get(name, 0) + below[0], [name.rpartition(":")[2], *below[1]]

    return path(entry)


def linked(compiler: str, prefix: str, objects: list[Path]) -> int:
    """Bytes of code and constants once the linker has left out what nobody calls."""
    others = [path for path in objects if path.stem != MESSAGES]
    symbols = (line.split() for line in run(f"{prefix}nm", *others).splitlines())
    roots = [f"-Wl,-u,{s[2]}" for s in symbols if len(s) == 3 and s[1] == "T"]
    out = objects[0].with_name("linked")
    options = ("-r", "-nostdlib", "-Wl,--gc-sections", f"-Wl,-e,{ENTRY}", *roots)
    run(compiler, *options, "-o", out, *objects)
    return int(run(f"{prefix}size", out).splitlines()[1].split()[0])


@dataclass(frozen=True, kw_only=True)
class Built:
    """The core as one compiler makes it."""

    title: str
    prefix: str
    """Of the binutils that read its objects."""
    objects: list[Path]
    graphs: list[str]
    """Call graphs in the form that GCC writes."""
    messages: int
    """Bytes of what the core calls of MESSAGES."""


def sources() -> list[Path]:
    """Files of the core."""
    return sorted(CORE.glob("*.c"))


def by_gcc(place: Path, compiler: str, extra: list[str]) -> Built:
    """The core by GCC."""
    prefix = compiler.removesuffix("gcc") if compiler.endswith("gcc") else ""
    target = run(compiler, "-dumpmachine").strip()
    objects = [place / f"{source.stem}.o" for source in sources()]
    for source, out in zip(sources(), objects, strict=True):
        run(compiler, *FLAGS, *extra, "-o", out, source)
    others = [path for path in objects if path.stem != MESSAGES]
    return Built(
        title=f"{target}, {run(compiler, '-dumpversion').strip()}, -Os",
        prefix=prefix,
        objects=objects,
        graphs=[path.with_suffix(".ci").read_text() for path in objects],
        messages=linked(compiler, prefix, objects) - linked(compiler, prefix, others),
    )


def by_llvm(place: Path) -> Built:
    """The core for the ESP32 by LLVM."""
    names = run("sh", ESP32 / "find-llvm.sh").split()
    compiler: list[str | Path] = ["sh", ESP32 / "cc.sh", *names]
    objects = [place / f"{source.stem}.o" for source in sources()]
    for source, out in zip(sources(), objects, strict=True):
        run(*compiler, "-std=c11", "-Os", "-DNDEBUG", "-o", out, source)
    texts = {path: path.with_suffix(".ll").read_text() for path in objects}
    graphs = ["\n".join(llvm_graph(path, text)) for path, text in texts.items()]
    [codec] = [path for path in objects if path.stem == MESSAGES]
    called = {n for path in objects if path != codec for n in re.findall(r"@(\w+)", texts[path])}
    inside = [edge for graph in graphs for edge in EDGE.findall(graph)]
    while more := {b.split(":")[-1] for a, b in inside if a.split(":")[-1] in called} - called:
        called |= more
    assembly = codec.with_suffix(".s").read_text()
    symbols = (line.split() for line in run("xtensa-lx106-elf-nm", "-S", codec).splitlines())
    sizes = {symbol[3]: int(symbol[1], 16) for symbol in symbols if len(symbol) == 4}
    literals = {
        found[1]: 4 * part.count("\t.literal\t") or 4 * part.count("\t.literal ")
        for part in assembly.split(".literal_position")
        if (found := re.search(r"^(\w+):", part, re.MULTILINE))
    }
    return Built(
        title=f"xtensa esp32 (windowed), {run(names[0], '-dumpversion').strip()}, -Os",
        prefix="xtensa-lx106-elf-",
        objects=objects,
        graphs=graphs,
        messages=sum(sizes[n] + literals.get(n, 0) for n in called & set(sizes)),
    )


def llvm_graph(path: Path, text: str) -> Iterator[str]:
    """Lines of the call graph of one file."""
    functions = re.findall(r"^define (.*?)@(\w+)(\(.*?^\})", text, re.MULTILINE | re.DOTALL)
    local = {name for linkage, name, _ in functions if "internal" in linkage}

    def title(name: str) -> str:
        return f"{path.stem}.c:{name}" if name in local else name

    entry = re.compile(r"^(\w+):(?:.*\n)(?:#.*\n|\s*\.cfi.*\n)*\tentry\ta1, (\d+)", re.MULTILINE)
    for name, size in entry.findall(path.with_suffix(".s").read_text()):
        yield f'node: {{ title: "{title(name)}" label: "\\n{size} bytes'
    for _, name, body in functions:
        for callee in re.findall(r"\bcall\b[^\n]*?([@%][\w.]+)\(", body):
            target = "__indirect_call" if callee[0] == "%" else title(callee[1:])
            yield f'edge: {{ sourcename: "{title(name)}" targetname: "{target}"'


def measure(compiler: str, extra: list[str]) -> list[str]:
    """Lines of the table for one compiler."""
    with tempfile.TemporaryDirectory() as place:
        esp32 = compiler == "esp32"
        built = by_llvm(Path(place)) if esp32 else by_gcc(Path(place), compiler, extra)
        lines = [built.title]
        total = [0, 0, 0]
        for line in run(f"{built.prefix}size", *built.objects).splitlines()[1:]:
            text, data, bss, *_, name = line.split()
            if Path(name).stem == MESSAGES:
                text = str(built.messages)
            lines.append(f"  {Path(name).stem:15} {text:>6} bytes of code and constants")
            total = [a + int(b) for a, b in zip(total, (text, data, bss), strict=True)]
        lines.append(f"  {'all':15} {total[0]:>6} bytes of code, {sum(total[1:])} of variables")
        if not esp32:  # its structs are those of the other Xtensa
            lines += structs(Path(place), compiler, extra, built.prefix)
        stack, functions = deepest(built.graphs)
    lines.append(f"  stack {stack} bytes: {' > '.join(functions)}")
    return lines


def verification(compiler: str, extra: list[str], sodium: Path) -> list[str]:
    """Lines on what a signature costs, with what libsodium's `verify` does not call left out."""
    prefix = compiler.removesuffix("gcc") if compiler.endswith("gcc") else ""
    include = [f"-I{sodium / p}" for p in ("include", "include/sodium")]
    include.append(f"-I{sodium / 'crypto_sign/ed25519/ref10'}")
    core = [(CORE / name, [*FLAGS, *extra]) for name in ("manifest.c", "sha256.c", "host.c")]
    flags = [flag for flag in FLAGS if flag != "-std=c11"]
    theirs = [(sodium / name, [*flags, "-std=gnu11", "-w", *include, *extra]) for name in SODIUM]
    with tempfile.TemporaryDirectory() as place:
        objects, graphs = [], []
        for source, options in (*core, *theirs):
            out = Path(place, source.stem + ".o")
            run(compiler, *options, "-o", out, source)
            graphs.append(out.with_suffix(".ci").read_text())
            if source.is_relative_to(sodium):
                objects.append(out)
        out = Path(place, "linked")
        options = ["-r", "-nostdlib", "-Wl,--gc-sections", f"-Wl,-e,{VERIFY}", f"-Wl,-u,{VERIFY}"]
        run(compiler, *options, "-o", out, *objects)
        code = int(run(f"{prefix}size", out).splitlines()[1].split()[0])
    stack, functions = deepest(graphs, MANIFEST)
    return [
        f"  verification: {code} bytes of libsodium",
        f"  stack {stack} bytes: {' > '.join(functions)}",
    ]


def structs(place: Path, compiler: str, extra: list[str], prefix: str) -> Iterator[str]:
    """What the caller of the core owns."""
    probe = place / "probe.c"
    probe.write_text(
        f'#include "{CORE}/link.h"\n'
        + "".join(f"char of_{name}[sizeof({name})];\n" for name in STRUCTS)
    )
    run(compiler, "-std=c11", "-c", *extra, "-o", probe.with_suffix(".o"), probe)
    for line in run(f"{prefix}nm", "-S", probe.with_suffix(".o")).splitlines():
        _, size, _, name = line.split()
        yield f"  {name.removeprefix('of_'):18} {int(size, 16):>6} bytes, the caller's"


def main() -> None:
    """Print a table for every compiler that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("compiler", nargs="+")
    parser.add_argument("--sodium", type=Path, help="src/libsodium of its sources")
    arguments = parser.parse_args()
    for compiler in arguments.compiler:
        name, *extra = compiler.split()
        lines = measure(name, extra)
        if arguments.sodium and name != "esp32":
            lines += verification(name, extra, arguments.sodium)
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
