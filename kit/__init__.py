"""The chassis both servers stand on; knows nothing of payments but the contract."""
