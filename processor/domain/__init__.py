"""The pure part: money, ids, accounts, payments and the decisions about them. No I/O, no clock."""
