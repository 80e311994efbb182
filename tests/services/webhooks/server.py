"""The service as a process that may be told where to die, for runs with faults.

`python -m tests.services.webhooks.server [POINT:PASSES]`, settings from the environment. Its leases
run out soon: not so soon that a busy machine would let one end under a delivery on its way.
"""

import sys
from typing import Final

from deploy.servers import webhooks
from kit import failpoints, logs, serving
from kit.settings import WebhookSettings
from services.webhooks.schedule import DeadRules
from services.webhooks.turns import Limits

LIMITS: Final = Limits(
    DeadRules(days=5, failures=20), attempt_seconds_max=8.0, lease_margin_seconds=2.0
)


def main() -> None:
    """Arm what is named and serve."""
    for text in sys.argv[1:]:
        name, _, passes = text.partition(":")
        failpoints.arm(name, int(passes))
    logs.configure("info", server="webhooks")
    serving.run(webhooks.serve(WebhookSettings.load(), limits=LIMITS))


if __name__ == "__main__":
    main()
