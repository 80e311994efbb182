"""The calls of AccountService."""

import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from tender.calls import Call, Method, chosen
from tender.v1 import account_pb2 as pb
from tender.v1.money_pb2 import Money

CREATE = Method.of("AccountService/CreateAccount", pb.CreateAccountResponse)
GET = Method.of("AccountService/GetAccount", pb.GetAccountResponse)
LIST = Method.of("AccountService/ListAccounts", pb.ListAccountsResponse)
FREEZE = Method.of("AccountService/FreezeAccount", pb.FreezeAccountResponse)
UNFREEZE = Method.of("AccountService/UnfreezeAccount", pb.UnfreezeAccountResponse)
CLOSE = Method.of("AccountService/CloseAccount", pb.CloseAccountResponse)
TRANSFER = Method.of("AccountService/CreateTransfer", pb.CreateTransferResponse)
LIST_TRANSFERS = Method.of("AccountService/ListTransfers", pb.ListTransfersResponse)
BALANCE_AT = Method.of("AccountService/GetBalanceAt", pb.GetBalanceAtResponse)


def create(
    *,
    user_id: str,
    currency_code: str,
    kind: pb.Account.Kind = pb.Account.KIND_CONSUMER_WALLET,
    floor_minor_units: int = 0,
    region: str = "",
    request_id: str | None = None,
    timeout: float | None = None,
) -> Call[pb.CreateAccountResponse]:
    """Opens an account with a balance of zero, in the gateway's own region unless one is given."""
    key = chosen(request_id)
    request = pb.CreateAccountRequest(
        request_id=key,
        user_id=user_id,
        kind=kind,
        currency_code=currency_code,
        floor_minor_units=floor_minor_units,
        region=region,
    )
    return Call(CREATE, request, timeout, key)


def get(
    *, account_id: str, read_token: str = "", timeout: float | None = None
) -> Call[pb.GetAccountResponse]:
    """Returns an account with its balances."""
    request = pb.GetAccountRequest(account_id=account_id, read_token=read_token)
    return Call(GET, request, timeout)


def page(
    *,
    user_id: str = "",
    page_size: int = 0,
    page_token: str = "",
    read_token: str = "",
    timeout: float | None = None,
) -> Call[pb.ListAccountsResponse]:
    """Returns accounts, newest first."""
    request = pb.ListAccountsRequest(
        user_id=user_id, page_size=page_size, page_token=page_token, read_token=read_token
    )
    return Call(LIST, request, timeout)


def freeze(
    *, account_id: str, request_id: str | None = None, timeout: float | None = None
) -> Call[pb.FreezeAccountResponse]:
    """Stops all money on an account."""
    key = chosen(request_id)
    request = pb.FreezeAccountRequest(request_id=key, account_id=account_id)
    return Call(FREEZE, request, timeout, key)


def unfreeze(
    *, account_id: str, request_id: str | None = None, timeout: float | None = None
) -> Call[pb.UnfreezeAccountResponse]:
    """Lets money move on an account again."""
    key = chosen(request_id)
    request = pb.UnfreezeAccountRequest(request_id=key, account_id=account_id)
    return Call(UNFREEZE, request, timeout, key)


def close(
    *, account_id: str, request_id: str | None = None, timeout: float | None = None
) -> Call[pb.CloseAccountResponse]:
    """Closes an empty account for ever."""
    key = chosen(request_id)
    request = pb.CloseAccountRequest(request_id=key, account_id=account_id)
    return Call(CLOSE, request, timeout, key)


def transfer(
    *,
    source_account_id: str,
    destination_account_id: str,
    amount: Money,
    description: str = "",
    request_id: str | None = None,
    timeout: float | None = None,
) -> Call[pb.CreateTransferResponse]:
    """Moves money between two accounts; "world" and "fees" name the operator's own.

    Lack of funds is an answer with STATE_DECLINED, not an error.
    """
    key = chosen(request_id)
    request = pb.CreateTransferRequest(
        request_id=key,
        source_account_id=source_account_id,
        destination_account_id=destination_account_id,
        amount=amount,
        description=description,
    )
    return Call(TRANSFER, request, timeout, key)


def transfers_page(
    *,
    account_id: str,
    page_size: int = 0,
    page_token: str = "",
    read_token: str = "",
    timeout: float | None = None,
) -> Call[pb.ListTransfersResponse]:
    """Returns an account's transfers, newest first."""
    request = pb.ListTransfersRequest(
        account_id=account_id, page_size=page_size, page_token=page_token, read_token=read_token
    )
    return Call(LIST_TRANSFERS, request, timeout)


def balance_at(
    *,
    account_id: str,
    time: datetime.datetime,
    read_token: str = "",
    timeout: float | None = None,
) -> Call[pb.GetBalanceAtResponse]:
    """Returns the posted balance at a past moment, which names its time zone."""
    if time.tzinfo is None:
        raise ValueError("The moment names no time zone; use datetime.UTC.")
    moment = Timestamp()
    moment.FromDatetime(time)
    request = pb.GetBalanceAtRequest(account_id=account_id, time=moment, read_token=read_token)
    return Call(BALANCE_AT, request, timeout)
