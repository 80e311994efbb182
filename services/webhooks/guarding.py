"""Whether a URL may be registered: its form, and where its host leads just now."""

import contextlib

from services.calls import Problem, Refused
from services.webhooks import urls
from services.webhooks.resolving import AddressRefused, GuardedResolver
from services.webhooks.urls import BadUrl, Rules


class UrlGuard:
    """Looks at URLs as the sender will, so that what is refused there is refused at once."""

    def __init__(self, rules: Rules, resolver: GuardedResolver) -> None:
        self._rules = rules
        self._resolver = resolver

    async def require(self, url: str, field: str) -> None:
        """Raise Refused unless the URL may be sent to.

        A name that leads nowhere yet is taken: it is asked for again at each delivery.
        """
        try:
            target = urls.checked(url, self._rules)
            if not urls.is_loopback(target.host):
                with contextlib.suppress(TimeoutError):
                    await self._resolver.resolve(target.host, target.port)
        except AddressRefused:
            raise _refused(urls.PRIVATE_ADDRESS, field) from None
        except BadUrl as bad:
            raise _refused(bad.cause, field) from None
        except OSError:
            return


def _refused(cause: str, field: str) -> Refused:
    problem = Problem(field, urls.PROBLEMS[cause])
    return Refused("WEBHOOK_URL_REFUSED", metadata={"cause": cause}, problems=(problem,))
