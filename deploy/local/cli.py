"""The `tender` command: runs a stack on this machine, and calls one anywhere."""

import typer

from deploy.local.commands import (
    accounts,
    bench,
    database,
    dlq,
    gateway,
    journal,
    lanes,
    merchants,
    notifications,
    operations,
    payments,
    reporting,
    requests,
    shards,
    shows,
    stacks,
    topics,
    webhooks,
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
app.add_typer(topics.app, name="topics")
app.add_typer(database.key_app, name="key")
app.add_typer(dlq.app, name="dlq")
app.add_typer(reporting.app, name="report")
app.add_typer(journal.app, name="journal")
app.add_typer(notifications.app, name="notifications")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(operations.app, name="operations")


def main() -> None:
    app(prog_name="tender")


if __name__ == "__main__":
    main()
