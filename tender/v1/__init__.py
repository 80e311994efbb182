"""Generated stubs of the contract in proto/tender/v1."""
