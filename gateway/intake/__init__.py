"""The asynchronous way in: commands that Kafka keeps, carried to the same lanes as all others.

An edge beside `gateway.edge`: what a record says is checked, routed and answered as a call is.
Kafka and the database of outcomes are ports (`ports`), which `storage` implements and
`deploy/servers` puts in.
"""
