"""What a consumer has to say and do; all else is the chassis's."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

Message = TypeVar("Message", contravariant=True)
Transaction = TypeVar("Transaction", contravariant=True)


class Refused(Exception):
    """A handler's word that an event can never be handled as it is: it is parked at once.

    `cause` is a reason code such as TEMPLATE_MISSING, from a fixed set; `text` says it in words,
    without content of the event, for it is shown to operators.
    """

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause
        self.text = text


class Handler(Protocol[Message, Transaction]):
    """Gives events their effect.

    The effect is what it writes with the transaction, and nothing else: a mail or a call that is to
    follow is a row there, which somebody sends. So an event has its effect once, however often it
    is delivered.
    """

    @property
    def name(self) -> str:
        """Of the consumer group and in the inbox; lower case, digits and dashes."""

    @property
    def topics(self) -> Sequence[str]:
        """What it listens to, without the prefix."""

    async def handle(self, messages: Sequence[Message], transaction: Transaction) -> None:
        """Write the effect of some events, none of which had one yet.

        They are in order by key. After one that was parked the later ones of its key still come:
        each carries the version of its entity, and a lower one than is known is to be dropped.
        Raises Refused; TryAgain and DependencyDown of `ports`; whatever else is raised is taken for
        an error of ours, and the event is parked once it failed by itself several times.
        """
