"""Rush hour at the tills: each terminal pays one by one and gives up after a second."""

from locust import task
from locust.env import Environment

from loadtest import catalogue, hooks, users

hooks.register()


class Terminal(users.PaymentUser):
    """Stands in one shop; a busy shop has many terminals."""

    scenario = catalogue.POS_RUSH

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._merchant = self.session.merchants.draw()

    @task
    def sell(self) -> None:
        self.pay("pos_rush authorize", self._merchant)
