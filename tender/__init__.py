"""What callers of Tender import: the SDK and the generated contract."""
