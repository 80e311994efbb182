"""Named places at which a test kills its own process; inert unless somebody arms one by a call.

No setting and no environment variable arms a point: what runs in production never calls `arm`, so
there is nothing there to be switched on by mistake. Tests start processes by modules of their own
that do, such as tests/consumers/member.py.
"""

import os
import signal

_armed: dict[str, int] = {}


def arm(name: str, passes: int = 1) -> None:
    """Kill this process with SIGKILL when the point is passed for the nth time from now on."""
    if passes < 1:
        raise ValueError("a point is passed a first time at least")
    _armed[name] = passes


def disarm() -> None:
    """Make every point inert again."""
    _armed.clear()


def reach(name: str) -> None:
    """Pass a point."""
    if _armed and name in _armed:
        _armed[name] -= 1
        if not _armed[name]:
            os.kill(os.getpid(), signal.SIGKILL)
