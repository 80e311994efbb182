"""The operations process with fail-points: `python -m tests.intake.crashing POINT:PASSES...`."""

import sys

from deploy.servers import operations
from kit import failpoints, logs, serving
from kit.settings import OperationSettings


def main() -> None:
    """Arm what is named and serve."""
    for text in sys.argv[1:]:
        name, _, passes = text.partition(":")
        failpoints.arm(name, int(passes))
    loaded = OperationSettings.load()
    logs.configure(loaded.log_level, server="operations")
    serving.run(operations.serve(loaded))


if __name__ == "__main__":
    main()
