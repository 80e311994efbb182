"""Merchants: their money may settle on another shard, which their own lane cannot look into."""

from typing import Any, Final

from gateway.endpoint import Answer, SingleEndpoint, answer_of
from gateway.errors import Refused
from gateway.identity import Identity
from tender.v1 import account_pb2, lane_pb2

METHODS: Final = frozenset({lane_pb2.METHOD_CREATE_MERCHANT, lane_pb2.METHOD_UPDATE_MERCHANT})
_WALLET: Final = account_pb2.Account.KIND_MERCHANT_WALLET


class MerchantEndpoint(SingleEndpoint):
    """A method that names settlement accounts: those elsewhere are looked up before it is sent on.

    What is looked at never changes: an account's owner, kind and currency.
    """

    async def carry_out(self, data: bytes, caller: Identity, seconds_left: float | None) -> Answer:
        timeout = self._timeout_seconds(seconds_left)
        lane, request, data = self._room_and_request(data, caller)
        for terms in _terms(request):
            asked = account_pb2.GetAccountRequest(account_id=terms.account_id)
            if self._lanes.lane_of(lane_pb2.METHOD_GET_ACCOUNT, asked) is not lane:
                await self._look_at(asked, terms.currency_code, caller, timeout)
        return answer_of(await lane.submit(self._number, data, caller.principal, timeout))

    async def _look_at(
        self,
        asked: account_pb2.GetAccountRequest,
        currency: str,
        caller: Identity,
        timeout_seconds: float,
    ) -> None:
        """Refuse an account that is none of the tenant's, no merchant's, or of another currency."""
        found = account_pb2.GetAccountResponse.FromString(
            await self._read(
                lane_pb2.METHOD_GET_ACCOUNT,
                asked,
                asked.SerializeToString(),
                caller.principal,
                timeout_seconds,
            )
        ).account
        if found.kind != _WALLET:
            raise Refused("ACCOUNT_UNKNOWN")
        if found.currency_code != currency:
            raise Refused("CURRENCY_MISMATCH")


def _terms(request: Any) -> Any:
    asked = request.merchant if hasattr(request, "merchant") else request
    return asked.settlement_terms
