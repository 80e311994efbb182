"""Payment commands, made now and sent later: by `client.payments.authorize_many` and `.stream`.

    coffee = commands.authorize(payer_account_id=ada, merchant_id=shop, amount=money("EUR", 420))

The arguments are those of the client's methods of the same meaning.
"""

from tender.calls import Call
from tender.payments import authorize, capture, refund, reverse, void

__all__ = ["Call", "authorize", "capture", "refund", "reverse", "void"]
