"""What a transport finds behind it: every method of the contract, and who is calling."""

from typing import Final

from gateway import access, endpoint, identity, methods, settlement, webhook_owners
from gateway.batches import BatchEndpoint
from gateway.endpoint import Backends, CommandEndpoint, Endpoint, QueryEndpoint
from gateway.errors import Refused
from gateway.forwarding import ForwardEndpoint
from gateway.identity import Identity
from gateway.streams import Streams
from kit import metrics


class Front:
    """All that can be called. Endpoints and streams are made once, at the start."""

    def __init__(self, backends: Backends) -> None:
        self._directory = backends.directory
        self.streams: Final = Streams(backends)
        self.endpoints: Final[dict[str, Endpoint]] = {
            path: _endpoint(route, backends)
            for path, route in methods.ROUTES.items()
            if route is not self.streams.route
        }
        self._unknown_meter = metrics.RpcMeter(endpoint.SERVER, "unknown")

    def admitted(self, target: Endpoint | Streams, metadata: identity.Metadata) -> Identity | None:
        """Return who calls, if that is known just now and may call this; else ask `admit`."""
        try:
            caller = self._directory.known(identity.key_text(metadata))
            if caller is not None:
                access.require_scope(target.route.allowed, caller)
            return caller
        except Exception:
            return None  # `admit` finds the same again, and refuses in words.

    async def admit(
        self, target: Endpoint | Streams, metadata: identity.Metadata
    ) -> Identity | Refused:
        """Return who calls, or the refusal, before a byte of the message is waited for."""
        try:
            caller = await self._directory.identify(identity.key_text(metadata))
            access.require_scope(target.route.allowed, caller)
        except BaseException as error:
            if endpoint.is_departure(error):
                raise
            refused = endpoint.as_refusal(error, target.route.name)
            target.meter.count(refused.code.name)
            return refused
        return caller

    def refused(self, target: Endpoint | Streams, reason: str) -> Refused:
        """Return the refusal of a call for a reason of the transport's, and count it."""
        refused = Refused(reason)
        target.meter.count(refused.code.name)
        return refused

    def unknown(self) -> Refused:
        """Return the refusal of a method that does not exist."""
        refused = Refused("METHOD_UNKNOWN")
        self._unknown_meter.count(refused.code.name)
        return refused


def _endpoint(route: methods.Route, backends: Backends) -> Endpoint:
    if isinstance(route, methods.Forwarded):
        is_creation = route.name == webhook_owners.METHOD
        return (webhook_owners.CreationEndpoint if is_creation else ForwardEndpoint)(
            route, backends
        )
    if not isinstance(route, methods.Method):
        return BatchEndpoint(backends)
    if route.number in settlement.METHODS:
        return settlement.MerchantEndpoint(route, backends)
    return (QueryEndpoint if route.is_read else CommandEndpoint)(route, backends)
