"""The service as a process that may be told where to die, for runs with faults.

`python -m tests.services.notifications.server [POINT:PASSES]`, settings from the environment.
One message at a time, so that a crash repeats one at most, under leases that run out soon: not so
soon that a busy machine would let one end under a message that is on its way.
"""

import sys
from typing import Final

from deploy.servers import notifications
from kit import failpoints, logs, serving
from kit.settings import NotificationSettings
from services.notifications.worker import Limits

LIMITS: Final = Limits(
    at_a_time=1, send_seconds_max=8.0, lease_seconds=12.0, poll_seconds=0.05, retry_scale=0.01
)


def main() -> None:
    """Arm what is named and serve."""
    for text in sys.argv[1:]:
        name, _, passes = text.partition(":")
        failpoints.arm(name, int(passes))
    logs.configure("info", server="notifications")
    serving.run(notifications.serve(NotificationSettings.load(), limits=LIMITS))


if __name__ == "__main__":
    main()
