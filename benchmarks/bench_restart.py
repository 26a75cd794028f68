"""How soon a twin acknowledges again that is ended, killed, or loses its database.

The large form of `tests/twin/test_restart.py`: 20 boards with 30 days behind them, 17 million
values, over SQLite and PostgreSQL.  Must hold: nothing lost, nothing doubled, /health true; and,
where nothing else runs on the computer, acknowledged again within 5 s.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TEST = Path(__file__).parents[1] / "tests/twin/test_restart.py"


def main() -> int:
    """Run it, which prints the figures; 1 if something does not hold."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-m", "slow", str(TEST)]
    return int(subprocess.run(command, cwd=TEST.parents[2], check=False).returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
