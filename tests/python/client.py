"""A client without our code: creates functions, calls one, has one fail, sends an event, is refused.

client.py ADDRESS prints what it saw as one JSON object; who reads it judges it.
"""

import json
import sys

import grpc
from trine.v1 import function_pb2, function_pb2_grpc
from trine.v1 import invocation_pb2 as pb
from trine.v1 import invocation_pb2_grpc


def answer(response):
    return {
        "request_id": response.request_id,
        "executed_version": response.executed_version,
        "payload": json.loads(response.payload),
        "function_error": response.function_error,
    }


def refused(call):
    try:
        call()
    except grpc.RpcError as error:
        trailers = {key: value for key, value in error.trailing_metadata()}
        return {
            "code": error.code().name,
            "message": error.details(),
            "reason": trailers.get("trine-reason"),
            "details": "grpc-status-details-bin" in trailers,
        }
    return None


def event(invocations, payload):
    accepted = invocations.Invoke(
        pb.InvokeRequest(
            function="py-hello", type=pb.INVOCATION_TYPE_EVENT, payload=payload, idempotency_key="once"
        )
    )
    revision = None
    while True:
        request = pb.GetInvocationRequest(request_id=accepted.request_id, wait_ms=20_000)
        if revision is not None:
            request.after_revision = revision
        known = invocations.GetInvocation(request).invocation
        if known.state in (pb.INVOCATION_STATE_SUCCEEDED, pb.INVOCATION_STATE_DEAD):
            break
        revision = known.revision
    return {
        "durability": pb.Durability.Name(accepted.durability),
        "state": pb.InvocationState.Name(known.state),
        "attempts": known.attempts,
        "response": json.loads(known.response),
    }


def stream(invocations):
    calls = [
        pb.StreamCall(call_id=7, request=pb.InvokeRequest(function="py-hello", payload=b'{"name":"a"}')),
        pb.StreamCall(call_id=9, request=pb.InvokeRequest(payload=b'{"name":"b"}')),
        pb.StreamCall(call_id=8, request=pb.InvokeRequest(function="nobody")),
    ]
    seen = {}
    for frame in invocations.InvokeStream(iter([pb.InvokeStreamRequest(calls=calls)])):
        for one in frame.answers:
            if one.WhichOneof("result") == "response":
                seen[one.call_id] = json.loads(one.response.payload)["hello"]
            else:
                seen[one.call_id] = one.refusal.reason
    return seen


def main(address):
    with grpc.insecure_channel(address) as channel:
        functions = function_pb2_grpc.FunctionServiceStub(channel)
        invocations = invocation_pb2_grpc.InvocationServiceStub(channel)
        create = function_pb2.CreateFunctionRequest
        created = functions.CreateFunction(create(name="py-hello")).function
        functions.CreateFunction(create(name="py-fail"))
        call = pb.InvokeRequest(function="py-hello", payload=b'{"name": "Ada"}')
        fails = pb.InvokeRequest(function="py-fail", payload=b"[1]")
        seen = {
            "arn": created.arn,
            "defaults": {one.name: one.value for one in created.effective},
            "call": answer(invocations.Invoke(call, timeout=20)),
            "failure": answer(invocations.Invoke(fails, timeout=20)),
            "event": event(invocations, b'{"name": "Bob"}'),
            "stream": stream(invocations),
            "unknown": refused(lambda: invocations.Invoke(pb.InvokeRequest(function="nobody"))),
            "malformed": refused(
                lambda: invocations.Invoke(pb.InvokeRequest(function="py-hello", payload=b"{"))
            ),
        }
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
