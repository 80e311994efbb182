"""What is served beside the contract: health, and for tools the contract itself."""

from typing import Any, Final, Never

import grpc

from gateway.edge.http2.open_calls import OpenCall
from gateway.methods import SERVICE_NAMES
from kit import serving

HEALTH_CHECK: Final = serving.HEALTH_CHECK
REFLECTION: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


class _Aborted(Exception):
    """Health was asked in a way that it does not answer."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Aborting:
    """As much of a context as health needs."""

    async def abort(self, code: grpc.StatusCode, message: str) -> Never:
        raise _Aborted(code, message)


async def check_health(call: OpenCall, health: serving.Health) -> None:
    """Answer grpc.health.v1 Check."""
    message = await call.only_message()
    context: Any = _Aborting()
    try:
        answer = await health.check(message, context)
    except _Aborted as aborted:
        call.refuse_plainly(aborted.code, str(aborted))
        return
    await call.write(answer)
    call.end_well()


class Reflection:
    """Shows the contract; imported only when asked for, so that production does without it."""

    def __init__(self) -> None:
        from grpc_reflection.v1alpha import reflection, reflection_pb2

        self._read = reflection_pb2.ServerReflectionRequest.FromString
        self._servicer: Any = reflection.ReflectionServicer(
            (*SERVICE_NAMES, reflection.SERVICE_NAME)
        )

    async def serve(self, call: OpenCall) -> None:
        """Answer each question in its turn."""
        while (message := await call.read()) is not None:
            question = iter((self._read(message),))
            for answer in self._servicer.ServerReflectionInfo(question, None):
                await call.write(answer.SerializeToString())
        call.end_well()
