"""All benchmarks one after the other: `python -m benchmarks`; some by name: `... season host`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(names: list[str]) -> int:
    """Run them; exit code 1 if one of them missed what it must hold."""
    found = {path.stem: path for path in sorted(Path(__file__).parent.glob("bench_*.py"))}
    wanted = [f"bench_{name}" for name in names] or list(found)
    unknown = [name for name in wanted if name not in found]
    if unknown:
        allowed = ", ".join(name.removeprefix("bench_") for name in found)
        print(f"no benchmark {unknown[0].removeprefix('bench_')}: there are {allowed}")
        return 2
    missed = []
    for name in wanted:
        module = importlib.import_module(f"benchmarks.{name}")
        if not hasattr(module, "main"):
            continue
        print(f"\n# {name}: {(module.__doc__ or '').splitlines()[0]}\n", flush=True)
        if module.main():
            missed.append(name)
    if missed:
        print(f"\nmissed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
