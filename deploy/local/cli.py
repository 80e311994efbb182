"""The `tender` command: runs a stack on this machine, and calls one anywhere."""

import typer

from deploy.local.commands import (
    accounts,
    bench,
    database,
    gateway,
    lanes,
    merchants,
    payments,
    requests,
    shards,
    shows,
    stacks,
)

app = typer.Typer(
    name="tender",
    help="Tender, a payment processor you run yourself.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (stacks, shards, lanes, gateway, database, shows, payments, requests):
    app.add_typer(commands.app)
app.add_typer(accounts.transfers_app)
app.add_typer(bench.app, name="bench")
app.add_typer(accounts.app, name="account")
app.add_typer(merchants.app, name="merchant")
app.add_typer(database.key_app, name="key")


def main() -> None:
    app(prog_name="tender")


if __name__ == "__main__":
    main()
