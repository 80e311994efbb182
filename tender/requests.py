"""The calls of RequestService."""

from tender.calls import Call, Method
from tender.v1 import request_pb2 as pb

GET = Method.of("RequestService/GetRequest", pb.GetRequestResponse)


def get(
    *, request_id: str, read_token: str = "", timeout: float | None = None
) -> Call[pb.GetRequestResponse]:
    """Returns what is stored of a call that changed something, with the answer it got."""
    request = pb.GetRequestRequest(request_id=request_id, read_token=read_token)
    return Call(GET, request, timeout)
