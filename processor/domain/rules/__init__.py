"""What each command does, or why it is refused: payments, accounts and transfers, merchants."""
