"""A sale opens at one merchant: calm, then everybody at once, then a long tail."""

from typing import Any

from locust import LoadTestShape, task

from loadtest import catalogue, hooks, shape, users

hooks.register()

HOT_MERCHANT = 0
DURATION_SECONDS_DEFAULT = 60


class Shopper(users.PaymentUser):
    """Buys again and again at the merchant of the day."""

    scenario = catalogue.FLASH_SALE

    @task
    def buy(self) -> None:
        self.pay("flash_sale authorize", HOT_MERCHANT)


class FlashSale(LoadTestShape):
    """`--users` at the height of the sale, over `--run-time`."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        runner: Any = self.runner
        elapsed: float = self.get_run_time()  # type: ignore[no-untyped-call]
        options = runner.environment.parsed_options
        duration = options.run_time or DURATION_SECONDS_DEFAULT
        highest = options.num_users or catalogue.FLASH_SALE.users
        users_now = shape.users_at(elapsed, duration, highest)
        # All of them within a second: that is what a flash sale is.
        return None if users_now is None else (users_now, float(highest))
