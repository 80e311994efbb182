"""The ways in which calls reach the gateway.

A transport knows connections, metadata and messages, and nothing of payments. It takes from
`gateway.front.Front` what a call needs: who may call (`identify`), unary endpoints that turn
`(bytes, caller, seconds left)` into an answer or a refusal, and the streams. Everything behind that
is free of it, so that another transport can take the place of `grpc_aio`.
"""
