"""Runs every static check, all of them even when one fails, and names each with its time."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
IMAGE = "proto/tender.binpb"
MIGRATIONS = (
    "storage/migrations",
    "storage/migrations_consumers",
    "services/notifications/migrations",
    "services/webhooks/migrations",
    "storage/migrations_operations",
    "services/reporting/migrations",
    "storage/migrations_operations",
)

STEPS: dict[str, list[str]] = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "imports": ["lint-imports", "--no-logo"],
    "proto-lint": ["buf", "lint"],
    "proto-format": ["buf", "format", "--diff", "--exit-code"],
    "proto-breaking": ["buf", "breaking", "--against", IMAGE],
    "stubs": ["python", "-m", "scripts.stubs", "check"],
    "sql": ["sqlfluff", "lint", "--disable-progress-bar", *MIGRATIONS],
    "architecture": ["python", "-m", "scripts.architecture"],
    "deployment": ["python", "-m", "scripts.deployment"],
}


def main(wanted: list[str]) -> int:
    """Run the steps that are wanted, or all of them; the worst exit code is the answer."""
    unknown = sorted(set(wanted) - STEPS.keys())
    if unknown:
        print(f"no step is called {', '.join(unknown)}; there are {', '.join(STEPS)}")
        return 2
    codes = {name: _run(name) for name in wanted or STEPS}
    failed = [name for name, code in codes.items() if code != 0]
    print(f"{len(codes) - len(failed)} passed, {len(failed)} failed", *failed)
    return max(codes.values())


def _run(name: str) -> int:
    program, *arguments = STEPS[name]
    started = time.monotonic()
    done = subprocess.run(
        [BIN / program, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    print(f"{name:<15}{'ok' if done.returncode == 0 else 'FAILED':<7}{seconds:6.1f} s", flush=True)
    if done.returncode != 0:
        print(done.stdout, flush=True)
    # A tool that a signal ended reports a negative code; it counts as a failure, not as the least.
    return abs(done.returncode)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
