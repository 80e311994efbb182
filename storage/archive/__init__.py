"""Journal rows in files (R17, decision record 0027): written, verified, and read where they are."""
