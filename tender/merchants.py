"""The calls of MerchantService."""

from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from tender.calls import Call, Method, chosen
from tender.v1 import merchant_pb2 as pb

CREATE = Method.of("MerchantService/CreateMerchant", pb.CreateMerchantResponse)
GET = Method.of("MerchantService/GetMerchant", pb.GetMerchantResponse)
UPDATE = Method.of("MerchantService/UpdateMerchant", pb.UpdateMerchantResponse)


def create(
    *,
    reference: str,
    display_name: str,
    settlement_terms: Sequence[pb.SettlementTerms],
    region: str = "",
    request_id: str | None = None,
    timeout: float | None = None,
) -> Call[pb.CreateMerchantResponse]:
    """Creates a merchant, in the gateway's own region unless one is given."""
    key = chosen(request_id)
    request = pb.CreateMerchantRequest(
        request_id=key,
        reference=reference,
        display_name=display_name,
        settlement_terms=settlement_terms,
        region=region,
    )
    return Call(CREATE, request, timeout, key)


def get(
    *, merchant_id: str, read_token: str = "", timeout: float | None = None
) -> Call[pb.GetMerchantResponse]:
    """Returns a merchant."""
    request = pb.GetMerchantRequest(merchant_id=merchant_id, read_token=read_token)
    return Call(GET, request, timeout)


def update(
    *,
    merchant_id: str,
    display_name: str | None = None,
    state: pb.Merchant.State | None = None,
    settlement_terms: Sequence[pb.SettlementTerms] | None = None,
    request_id: str | None = None,
    timeout: float | None = None,
) -> Call[pb.UpdateMerchantResponse]:
    """Changes what is given and leaves the rest as it is."""
    changes = {
        "display_name": display_name,
        "state": state,
        "settlement_terms": settlement_terms,
    }
    key = chosen(request_id)
    request = pb.UpdateMerchantRequest(
        request_id=key,
        merchant=pb.Merchant(
            id=merchant_id,
            display_name=display_name,
            state=state,
            settlement_terms=settlement_terms,
        ),
        update_mask=FieldMask(paths=[name for name, to in changes.items() if to is not None]),
    )
    return Call(UPDATE, request, timeout, key)
