"""What was committed, as others hear of it (decision record 0022): pure, from a journal row."""
