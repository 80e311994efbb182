"""Carries commands to the lane over one stream, and their outcomes back.

A command belongs to this client and not to the RPC that brought it: an RPC that is cancelled stops
waiting, and that is all. After a broken stream every unanswered command is sent again; the
request_id inside makes that safe.
"""

import asyncio
import bisect
import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from gateway import backlog, reasons
from gateway.backlog import Backlog
from gateway.commands import AwaitedCommand, Command
from gateway.errors import Refused
from gateway.lane_stream import BATCH_COMMANDS_MAX, Find, LaneStream
from gateway.lookups import Lookups
from gateway.pressure import AUTHORIZE, Pressure
from gateway.replays import Ticket
from gateway.tenants import TenantShares
from gateway.window import BulkWindow
from kit import metrics
from tender.v1 import lane_pb2

BATCH_BYTES_MAX: Final = 768 * 1024  # Below the processor's receive limit of 1 MiB with any rest.
_COMMAND_OVERHEAD_BYTES: Final = 640  # Longest tenant and merchant ids, numbers and tags.
_BATCH_COMMANDS: Final = 32  # Under load so many are worth a message,
_BATCH_SHARE: Final = 4  # or this part of those in flight.
_SWEEP_SECONDS: Final = 0.05  # A client with a shorter deadline is told by its own gRPC.
_SWEEPS_TO_MARK: Final = 10
"""A command that is still under way then, after half a second, is one that repeats elsewhere wait
for; sooner, on a busy gateway every call would ask for it."""
AUTHORIZATIONS_SHARE: Final = 0.9
"""Of what may be in flight; the rest is for what undoes or finishes payments (R19)."""

_FULL: Final = "LANE_QUEUE_FULL"
_ELSEWHERE: Final = "BUCKET_ELSEWHERE"
_REUSED: Final = "REQUEST_ID_REUSED"
_TURNED_AWAY: Final = {
    reason: metrics.GATEWAY_TURNED_AWAY.labels(reason)
    for reason in (_FULL, "GATEWAY_BUSY", "TENANT_BUSY")
}


Redirect = Callable[[Command, str, lane_pb2.Refusal], None]
"""Takes over a command that a shard refused, because its bucket is not there."""


class LaneClient:
    """What is under way to the lane; `run` keeps it going until cancelled."""

    def __init__(
        self,
        find: Find,
        token: str,
        *,
        shard: str = "",
        in_flight_max: int,
        tenant_max: int = 0,
        redirect: Redirect | None = None,
    ) -> None:
        """`find` returns the way to the lane; without a shard's name there is only one.

        `redirect` is given each command whose bucket the lane does not own.
        `tenant_max` bounds what one tenant has in flight; 0 leaves it without a bound.
        """
        self._in_flight_max = in_flight_max
        self._authorizations_max = math.ceil(in_flight_max * AUTHORIZATIONS_SHARE)
        self._bulk_window = BulkWindow(in_flight_max)
        self._tenants = TenantShares(tenant_max or in_flight_max)
        self._pressure = Pressure()
        self._shard = shard
        self._redirect = redirect
        self._backlog = Backlog()
        self._lookups = Lookups(self, shard)
        self._incarnation = ""
        self._settled_count = 0
        self._loop = asyncio.get_running_loop()
        # In order of arrival, which is the order in which they are sent again.
        self._commands: dict[int, Command] = {}
        self._unsent: list[int] = []
        self.wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._last_correlation_id = 0
        self._is_closing = False
        self._stream = LaneStream(self, find, token, shard)
        self.look_again = self._stream.look_again

    @property
    def incarnation(self) -> str:
        """The lane's as it says itself; empty while it cannot be asked."""
        return self._incarnation if self._stream.is_connected else ""

    def submit(
        self,
        method: int,
        request: bytes,
        principal: lane_pb2.Principal,
        timeout_seconds: float,
        ticket: Ticket | None = None,
    ) -> asyncio.Future[lane_pb2.Outcome]:
        """Send a command with whatever else arrives in this turn of the loop.

        The future brings the outcome, or Refused. Cancelling it changes nothing but who listens.
        """
        outcome: asyncio.Future[lane_pb2.Outcome] = self._loop.create_future()
        command = AwaitedCommand(method, request, principal, 0, outcome)
        command.ticket = ticket
        self.send(command, timeout_seconds)
        return outcome

    def send(self, command: Command, timeout_seconds: float) -> None:
        """Send a single command, which hears of its outcome itself; raises Refused."""
        now = self._loop.time()
        self._require_open(now)
        if len(self._commands) >= self._in_flight_max:
            raise Refused("GATEWAY_BUSY")
        command.deadline = now + timeout_seconds
        ticket = command.ticket
        self._put(command, first=ticket is not None and self._lookups.is_first(ticket))

    def resume(self, command: Command) -> None:
        """Send a command that another lane would not take; its deadline is as it was."""
        try:
            self._require_open(self._loop.time())
        except Refused as refused:
            command.refused(refused.reason)
        else:
            self._put(command, first=False)

    # Who gets in.

    def require_room(self, method: int, principal: lane_pb2.Principal) -> None:
        """Refuse a single command that would only be refused later; needs nothing of its message.

        Raises Refused.
        """
        most = self._authorizations_max if method == AUTHORIZE else self._in_flight_max
        if len(self._commands) >= most:
            raise _turned_away("GATEWAY_BUSY")
        if not self._tenants.room(principal.tenant_id):
            raise _turned_away("TENANT_BUSY")
        if self._pressure.refuses(method, self._loop.time()):
            raise _turned_away(_FULL)

    def require_calm(self) -> None:
        """Refuse a read while the lane has no room for authorizations; raises Refused."""
        if self._pressure.refuses_reads(self._loop.time()):
            raise _turned_away(_FULL)

    def bulk_room(self, tenant_id: str) -> int:
        """Return how many bulk commands may be sent now; single calls come first."""
        if self._backlog.held:
            return 0
        room = min(self._bulk_window.commands - len(self._commands), self._tenants.room(tenant_id))
        return max(room, 0)

    async def submit_as_room_comes(self, commands: Sequence[Command]) -> None:
        """Send commands of a bulk call in their order, as many at a time as there is room for.

        All are of one tenant and have one deadline. Those that cannot be sent any more, or when
        this is cancelled, are refused one by one.
        """
        left = deque(commands)
        reason = "SHUTTING_DOWN"
        tenant_id = left[0].principal.tenant_id if left else ""
        try:
            while left:
                if not self.bulk_room(tenant_id):
                    async with asyncio.timeout_at(left[0].deadline - backlog.TOLD_AHEAD_SECONDS):
                        await self._bulk_room_comes(tenant_id)
                count = min(self.bulk_room(tenant_id), len(left))
                self._submit_or_refuse([left.popleft() for _ in range(count)])
        except TimeoutError:
            reason = _FULL if self._stream.is_connected else "SHARD_UNAVAILABLE"
        finally:
            for command in left:
                command.refused(reason)

    async def _bulk_room_comes(self, tenant_id: str) -> None:
        while not self.bulk_room(tenant_id):
            self._settled.clear()
            await self._settled.wait()

    def _submit_or_refuse(self, commands: Sequence[Command]) -> None:
        try:
            self._require_open(self._loop.time())
        except Refused as refused:
            for command in commands:
                command.refused(refused.reason)
        else:
            # One that waits would be overtaken by those behind it.
            first = any(
                [one.ticket is not None and self._lookups.is_first(one.ticket) for one in commands]
            )
            for command in commands:
                self._put(command, first=first)

    def _require_open(self, now: float) -> None:
        if self._is_closing:
            raise Refused("SHUTTING_DOWN")
        if self._stream.is_absent(now):
            raise Refused("SHARD_UNAVAILABLE")

    def _put(self, command: Command, *, first: bool) -> None:
        """Let a command wait to be sent; with `first` until the replay cache has spoken."""
        # Never used twice, so that no outcome can reach another's call.
        correlation_id = self._last_correlation_id = self._last_correlation_id + 1
        self._commands[correlation_id] = command
        self._tenants.take(command.principal.tenant_id)
        ticket = command.ticket
        if ticket is not None and self._lookups.begin(ticket, correlation_id, first=first):
            return
        if not self._unsent:
            self.wake.set()
        self._unsent.append(correlation_id)

    def _take_out(self, correlation_id: int) -> Command:
        command = self._commands.pop(correlation_id)
        self._tenants.give_back(command.principal.tenant_id)
        ticket = command.ticket
        if ticket is not None and ticket.looked_up is not None:
            self._lookups.forget(correlation_id)
        if command.is_bulk:
            self._backlog.held.discard(correlation_id)
            self._backlog.finished += 1
        return command

    # How it is kept going.

    async def run(self) -> None:
        """Keep a stream open and watch deadlines until cancelled."""
        with (
            metrics.IN_FLIGHT.watching(self._commands),
            metrics.HELD_BACK.watching(self._backlog.held),
        ):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sweep_regularly())
                group.create_task(self._stream.run())

    @property
    def is_of_use(self) -> bool:
        """Whether there is a stream on which commands are answered."""
        return self._stream.is_of_use

    async def drain(self, timeout_seconds: float) -> None:
        """Take no more commands and wait until those in flight are answered."""
        self._is_closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self._commands:
                    self._settled.clear()
                    await self._settled.wait()
        self._give_up(tuple(self._commands))

    async def _sweep_regularly(self) -> None:
        now = self._loop.time()
        last_ones = deque([0] * (_SWEEPS_TO_MARK - 1))
        while True:
            last_ones.append(self._last_correlation_id)
            await asyncio.sleep(_SWEEP_SECONDS)
            self._lookups.mark(self._commands, last_ones.popleft())
            now, before = self._loop.time(), now
            finished, self._settled_count = self._settled_count, 0
            self._bulk_window.measure(finished, now - before, len(self._commands))
            commands = self._commands
            late = [key for key, command in commands.items() if command.deadline <= now]
            if self._backlog.held or self._lookups.waiting:
                soon = now + backlog.TOLD_AHEAD_SECONDS
                held = (self._backlog.held | self._lookups.waiting).difference(late)
                late += [key for key in held if commands[key].deadline <= soon]
            if late:
                self._give_up(late)
            self._release(now)

    def _give_up(self, correlation_ids: Sequence[int]) -> None:
        """Stop waiting for outcomes: past their deadlines, or because this process ends."""
        for correlation_id in correlation_ids:
            not_sent = _FULL if correlation_id in self._backlog.held else "SHARD_UNAVAILABLE"
            if correlation_id in self._lookups.waiting:
                not_sent = "REQUEST_IN_PROGRESS"
            command = self._take_out(correlation_id)
            command.refused("OUTCOME_UNKNOWN" if command.times_sent else not_sent)
        self._settled.set()

    def _release(self, now: float) -> None:
        """Send again what the lane had no room for, once all behind it is known to wait too."""
        is_idle = len(self._commands) == len(self._backlog.held)
        if not self._backlog.is_due(now, is_idle=is_idle) or self._is_bulk_under_way_behind():
            return
        if not self._unsent:
            self.wake.set()
        released = self._backlog.release(now)
        metrics.GATEWAY_SENT_AGAIN.inc(len(released))
        # What came later goes later, if it has not left yet.
        self._unsent = sorted(self._unsent + released)
        self._settled.set()

    def _is_bulk_under_way_behind(self) -> bool:
        held = self._backlog.held
        return self._backlog.is_shut and any(
            command.is_bulk and key not in held and key > min(held)
            for key, command in self._commands.items()
        )

    # What the replay cache says.

    def is_unsent(self, correlation_id: int) -> bool:
        command = self._commands.get(correlation_id)
        return command is not None and not command.times_sent

    def send_now(self, correlation_id: int) -> None:
        if correlation_id in self._commands:
            if not self._unsent:
                self.wake.set()
            bisect.insort(self._unsent, correlation_id)

    def answer_now(self, correlation_id: int, outcome: lane_pb2.Outcome) -> None:
        self._take_out(correlation_id).answered(outcome)
        self._settled.set()

    # What goes over the stream.

    @property
    def in_flight(self) -> int:
        return len(self._commands)

    def are_enough(self) -> bool:
        return len(self._unsent) >= min(_BATCH_COMMANDS, len(self._commands) // _BATCH_SHARE)

    def send_again(self) -> int:
        # What a broken stream left unanswered goes first, for it arrived first.
        self._unsent = list(self._commands)
        self._lookups.all_listed()
        self._incarnation = ""
        self._backlog.clear()
        self.wake.set()
        return sum(1 for command in self._commands.values() if command.times_sent)

    def next_batch(self) -> lane_pb2.ExecuteRequest:
        now = self._loop.time()
        batch = lane_pb2.ExecuteRequest(bulk_round=self._backlog.round)
        add = batch.commands.add
        find, leave_out = self._commands.get, self._lookups.leave_out
        size = taken = count = 0
        principal: lane_pb2.Principal | None = None
        for correlation_id in self._unsent:
            command = find(correlation_id)
            if (
                command is not None
                and command.deadline > now
                and (
                    (ticket := command.ticket) is None
                    or ticket.looked_up is None
                    or not leave_out(correlation_id)
                )
            ):
                size += len(command.request) + _COMMAND_OVERHEAD_BYTES
                if count and (size > BATCH_BYTES_MAX or count >= BATCH_COMMANDS_MAX):
                    break
                count += 1
                command.times_sent += 1
                sent = add(
                    correlation_id=correlation_id,
                    method=command.method,
                    request=command.request,
                    timeout_ms=int((command.deadline - now) * 1_000) or 1,
                )
                # Left out, it is that of the command before.
                if command.principal is not principal:
                    principal = command.principal
                    sent.principal.CopyFrom(principal)
                if command.is_bulk:
                    sent.bulk = True
                    if command.is_background:
                        sent.background = True
            taken += 1
        del self._unsent[:taken]
        if not self._unsent:
            self.wake.clear()
        return batch

    def deliver(self, response: lane_pb2.ExecuteResponse) -> None:
        self._incarnation = incarnation = response.incarnation
        for outcome in response.outcomes:
            self._deliver(outcome, incarnation)
        self._settled.set()
        if self._backlog.held:
            self._release(self._loop.time())

    def _deliver(self, outcome: lane_pb2.Outcome, incarnation: str) -> None:
        correlation_id = outcome.correlation_id
        command = self._commands.get(correlation_id)
        if command is None or command.times_sent == 0:
            metrics.GATEWAY_LANE_STRAYS.inc()
            return
        refusal = outcome.refusal if outcome.HasField("refusal") else None
        if refusal is None or refusal.reason != _FULL:
            self._settled_count += 1
        elif self._is_held(correlation_id, command, refusal):
            return
        self._take_out(correlation_id)
        if refusal is not None and refusal.reason == _ELSEWHERE and self._redirect is not None:
            # The lane has looked whether it had carried it out: no sending came to anything.
            command.times_sent = 0
            if command.ticket is not None:
                command.ticket.replays.came_to_nothing(command.ticket)
                command.ticket = None
            self._redirect(command, self._shard, refusal)
            return
        if command.ticket is not None:
            command.ticket.replays.settled(command.ticket, outcome, incarnation)
        if outcome.replayed:
            metrics.REPLAYS.count(command.principal.tenant_id, "lane")
        elif refusal is not None and refusal.reason == _REUSED:
            metrics.CONFLICTS.count(command.principal.tenant_id, "lane")
        if command.times_sent > 1 and _is_undecided(outcome):
            # The first sending may have been carried out before its stream broke.
            command.refused("OUTCOME_UNKNOWN")
        else:
            command.answered(outcome)

    def _is_held(self, correlation_id: int, command: Command, full: lane_pb2.Refusal) -> bool:
        """Take note that the lane is full; say whether the command waits instead of its caller."""
        hint_seconds, now = full.retry_delay_ms / 1_000, self._loop.time()
        if not command.is_bulk:
            self._pressure.note_full(command.method, hint_seconds, now)
            return False
        if not self._backlog.hold(correlation_id, hint_seconds, now):
            return False
        if command.times_sent == 1:
            # Its only sending came to nothing, and so it is as if there had been none.
            command.times_sent = 0
        return True


def _turned_away(reason: str) -> Refused:
    _TURNED_AWAY[reason].inc()
    return Refused(reason)


def _is_undecided(outcome: lane_pb2.Outcome) -> bool:
    if not outcome.HasField("refusal"):
        return False
    reason = reasons.REASONS.get(outcome.refusal.reason)
    return reason is not None and reason.undecided
