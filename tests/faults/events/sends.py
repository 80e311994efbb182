"""What a service sent, compared with what it had to: at least once, repeated by crashes alone."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Sends:
    """What came of the messages of one service, by ids that stay the same when one is repeated."""

    what: str
    wanted: int = 0
    missing: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    """Of what nobody committed."""
    reordered: list[str] = field(default_factory=list)
    duplicates: int = 0
    crashes: int = 0
    """Of the service, wherever: what it had in hand is sent once more at most."""
    crashes_after: int = 0
    """Of these, when something had just been sent and was not recorded: it is sent again."""

    def shortcomings(self, wanted: int) -> list[str]:
        """Return in words what is not as promised, or fewer than were asked for."""
        too_many = f"{self.duplicates} repeated by {self.crashes} crashes"
        checks = (
            (bool(self.missing), f"{len(self.missing)} never came: {self.missing[:5]}"),
            (bool(self.invented), f"of nothing that happened: {self.invented[:5]}"),
            (bool(self.reordered), f"out of order: {self.reordered[:5]}"),
            (self.duplicates > self.crashes, too_many),
            # Else whoever counts them would not notice any.
            (self.crashes_after > 0 and not self.duplicates, f"none repeated, and {too_many}"),
            (self.wanted < wanted, f"only {self.wanted}"),
        )
        return [f"{self.what}: {text}" for is_so, text in checks if is_so]


def compare(what: str, wanted: Sequence[str], came: Sequence[str]) -> Sends:
    """Compare the ids that had to come with those that came, in any order."""
    found = set(came)
    return Sends(
        what,
        wanted=len(wanted),
        missing=[one for one in wanted if one not in found],
        invented=sorted(found - set(wanted)),
        duplicates=len(came) - len(found),
    )


def disorder(queued: Sequence[str], came: Sequence[str]) -> list[str]:
    """Return what came out of the order of its queue; a repetition has to follow its first."""
    once = [one for one, _ in itertools.groupby(came)]
    there = set(once)
    wanted = [one for one in queued if one in there]
    places = itertools.zip_longest(wanted, once, fillvalue="")
    return [got or want for want, got in places if want != got]
