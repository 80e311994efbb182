"""One runnable file per scenario: `python -m tender.examples.refund`, against TENDER_TARGET."""
