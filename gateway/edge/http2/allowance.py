"""How often a peer may do what costs it nothing and us a little."""

from gateway.edge.http2 import frames


class Allowance:
    """So many at once, and so many a second after that."""

    __slots__ = ("_burst", "_left", "_name", "_per_second")

    def __init__(self, name: str, burst: int, per_second: int) -> None:
        self._name = name
        self._burst = burst
        self._per_second = per_second
        self._left = float(burst)

    def spend(self) -> None:
        """Take one; raises BadConnection when none is left."""
        self._left -= 1
        if self._left < 0:
            raise frames.BadConnection(frames.ENHANCE_YOUR_CALM, f"too many {self._name}")

    def refill(self, seconds: float) -> None:
        """Give back what that time allows."""
        self._left = min(self._left + self._per_second * seconds, self._burst)
