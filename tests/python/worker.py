"""A worker without our SDK: the published contract, grpcio, and nothing else.

worker.py ADDRESS SLOTS serves `py-hello` and `py-fail` until the broker or its parent ends it. It prints
`connected` once it is welcome.
"""

import json
import queue
import sys
import threading

import grpc
from trine.v1 import worker_pb2 as pb
from trine.v1 import worker_pb2_grpc as rpc

FUNCTIONS = ["py-hello", "py-fail"]


def hello(payload):
    return {"hello": payload["name"], "from": "python"}


def fail(payload):
    raise ValueError(f"cannot work with {payload!r}")


def outcome(attempt):
    done = pb.Outcome(entry=attempt.entry, fence=attempt.fence)
    handler = {"py-hello": hello, "py-fail": fail}[FUNCTIONS[attempt.function_index]]
    try:
        done.response = json.dumps(handler(json.loads(attempt.payload))).encode()
    except Exception as error:  # every failure of a handler is an answer
        done.function_error = json.dumps(
            {"errorType": type(error).__name__, "errorMessage": str(error), "stackTrace": []}
        ).encode()
    return done


def main(address, slots):
    frames = queue.Queue()
    frames.put(
        pb.WorkerServiceSessionRequest(
            hello=pb.WorkerHello(
                protocol_version=1,
                worker="python",
                functions=FUNCTIONS,
                slots=int(slots),
                sdk="none/0",
            )
        )
    )
    with grpc.insecure_channel(address) as channel:
        session = rpc.WorkerServiceStub(channel).Session(iter(frames.get, None))
        welcome = next(session).welcome
        print("connected", flush=True)

        def beat(interval=welcome.heartbeat_interval_ms / 1000, stop=threading.Event()):
            while not stop.wait(interval):
                frames.put(pb.WorkerServiceSessionRequest())

        threading.Thread(target=beat, daemon=True).start()
        started = 0
        for frame in session:
            for attempt in frame.attempts:
                started += 1
                frames.put(pb.WorkerServiceSessionRequest(started_through=started))
                frames.put(pb.WorkerServiceSessionRequest(outcomes=[outcome(attempt)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
