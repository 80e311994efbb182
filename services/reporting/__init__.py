"""Reports: what merchants and operators ask over all shards and long times, from what was told.

The projection is fed by Kafka (`handler`), made anew from the journals (`rebuild`), and compared
with the ledger (`verify`). What an event changes is decided by pure functions (`images`); see
decision record 0025.
"""
