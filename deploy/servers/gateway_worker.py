"""One of several gateway processes on a port: `python -m deploy.servers.gateway --workers N`.

Started by the supervisor in workers.py, never by hand.
"""

from deploy.servers import command, gateway, workers
from kit import settings


async def serve(given: settings.GatewaySettings) -> None:
    """Serve on the shared port until a signal, or until the supervisor is gone."""
    workers.stop_with_the_supervisor()
    await gateway.serve(given, shares_port=True)


def main() -> None:
    """Run a worker."""
    command.run("gateway_worker", __doc__, settings.GatewaySettings, serve)


if __name__ == "__main__":
    main()
