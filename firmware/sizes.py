"""Prints code, RAM and stack of the firmware core, for each compiler given.

Code and RAM come from the compiler's objects (-Os), the stack from its call graph
(-fcallgraph-info): the deepest path from `lv_link_receive`, and below what the port's callbacks and
the engine use themselves.  With `--sodium` also of the verification of a signature: the files of
libsodium that it takes, and the deepest path from `lv_manifest_open`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CORE = Path(__file__).parent / "core"
FLAGS = ["-std=c11", "-Os", "-DNDEBUG", "-fcallgraph-info=su", "-ffunction-sections"]
FLAGS += ["-fdata-sections", "-fno-asynchronous-unwind-tables", "-c"]
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


def measure(compiler: str, extra: list[str]) -> list[str]:
    """Lines of the table for one compiler."""
    prefix = compiler.removesuffix("gcc") if compiler.endswith("gcc") else ""
    target = run(compiler, "-dumpmachine").strip()
    lines = [f"{target}, {run(compiler, '-dumpversion').strip()}, -Os"]
    with tempfile.TemporaryDirectory() as place:
        objects, graphs = [], []
        for source in sorted(CORE.glob("*.c")):
            out = Path(place, source.stem + ".o")
            run(compiler, *FLAGS, *extra, "-o", out, source)
            objects.append(out)
            graphs.append(out.with_suffix(".ci").read_text())
        total = [0, 0, 0]
        others = [path for path in objects if path.stem != MESSAGES]
        called = linked(compiler, prefix, objects) - linked(compiler, prefix, others)
        for line in run(f"{prefix}size", *objects).splitlines()[1:]:
            text, data, bss, *_, name = line.split()
            if Path(name).stem == MESSAGES:
                text = str(called)
            lines.append(f"  {Path(name).stem:15} {text:>6} bytes of code and constants")
            total = [a + int(b) for a, b in zip(total, (text, data, bss), strict=True)]
        lines.append(f"  {'all':15} {total[0]:>6} bytes of code, {sum(total[1:])} of variables")
        probe = Path(place, "probe.c")
        probe.write_text(
            f'#include "{CORE}/link.h"\n'
            + "".join(f"char of_{name}[sizeof({name})];\n" for name in STRUCTS)
        )
        run(compiler, "-std=c11", "-c", *extra, "-o", probe.with_suffix(".o"), probe)
        for line in run(f"{prefix}nm", "-S", probe.with_suffix(".o")).splitlines():
            _, size, _, name = line.split()
            lines.append(f"  {name.removeprefix('of_'):18} {int(size, 16):>6} bytes, the caller's")
    stack, functions = deepest(graphs)
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


def main() -> None:
    """Print a table for every compiler that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("compiler", nargs="+")
    parser.add_argument("--sodium", type=Path, help="src/libsodium of its sources")
    arguments = parser.parse_args()
    for compiler in arguments.compiler:
        name, *extra = compiler.split()
        lines = measure(name, extra)
        if arguments.sodium:
            lines += verification(name, extra, arguments.sodium)
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
