"""A poller in another language: the rows of an SQLite table reach a function, in their order, at least once.

poller.py ADDRESS [NAME] serves every mapping whose source is of the custom kind `sqlite-outbox`. The configuration of the
mapping is {"path": "orders.db", "table": "outbox"}; the table has `id INTEGER PRIMARY KEY AUTOINCREMENT` and `payload TEXT`, and
rows are only ever added. The broker keeps the id of the last row that is settled. README.md says how to run it.
"""

import itertools
import json
import queue
import sqlite3
import sys
import threading
import time

import grpc
from trine.v1 import invocation_pb2 as inv
from trine.v1 import invocation_pb2_grpc as inv_rpc
from trine.v1 import poller_pb2 as pb
from trine.v1 import poller_pb2_grpc as rpc

KIND = "sqlite-outbox"
LOOK_EVERY_S = 0.1
WAIT_S_MAX = 5.0


class Reader(threading.Thread):
    """One mapping under one fence: batch, invocation, checkpoint, and again."""

    def __init__(self, session, assignment):
        super().__init__(daemon=True)
        self.session, self.mapping, self.fence = session, assignment.mapping, assignment.fence
        self.stop, self.paused, self.owned = threading.Event(), assignment.paused, True
        self.position = 0

    def run(self):
        where = json.loads(self.mapping.source.custom.configuration)
        rows_after = f'SELECT id, payload FROM "{where["table"]}" WHERE id > ? ORDER BY id LIMIT ?'
        wait = 0.0
        while not self.stop.wait(wait):
            wait = LOOK_EVERY_S if self.paused else self.batch(where, rows_after, wait)
        if self.owned:  # nothing of it is under way any more
            release = pb.LeaseRelease(mapping_id=self.mapping.id, fence=self.fence)
            self.session.frames.put(pb.PollerServiceSessionRequest(releases=[release]))

    def batch(self, where, rows_after, waited):
        """Sends the next rows; how long to wait after that. What failed is read again: nothing has moved."""
        try:
            with sqlite3.connect(f"file:{where['path']}?mode=ro", uri=True) as table:
                size = self.mapping.settings.batch_size or 100
                rows = table.execute(rows_after, (self.position, size)).fetchall()
            if not rows:
                return LOOK_EVERY_S
            if self.invoke(rows) and self.checkpoint(rows[-1][0]):
                return 0.0
        except (sqlite3.Error, grpc.RpcError) as error:
            print(f"{self.mapping.id}: {error}", file=sys.stderr)
        return min(max(2 * waited, LOOK_EVERY_S), WAIT_S_MAX)

    def invoke(self, rows):
        records = [{"eventSource": f"custom:{KIND}", "id": id, "payload": text} for id, text in rows]
        request = inv.InvokeRequest(
            function=self.mapping.function,
            qualifier=self.mapping.qualifier,
            payload=json.dumps({"Records": records}).encode(),
        )
        return not self.session.invocations.Invoke(request).function_error

    def checkpoint(self, last):
        kept = pb.ShardCheckpoint(shard="table", position=str(last))
        report = pb.CheckpointReport(mapping_id=self.mapping.id, fence=self.fence, checkpoint=kept)
        outcome = self.session.ask(report)
        if outcome == pb.REPORT_OUTCOME_DONE:
            self.position = last
        elif outcome == pb.REPORT_OUTCOME_STALE_FENCE:  # somebody else holds it
            self.owned = False
            self.stop.set()
        return outcome == pb.REPORT_OUTCOME_DONE


class Session:
    """One connection to the broker: what it gives is read, what it takes back is released."""

    def __init__(self, channel, name):
        self.invocations = inv_rpc.InvocationServiceStub(channel)
        self.frames, self.readers = queue.Queue(), {}
        self.tickets, self.answers = itertools.count(1), {}
        hello = pb.PollerHello(protocol_version=1, poller=name, kinds=[KIND], mappings_max=100)
        self.frames.put(pb.PollerServiceSessionRequest(hello=hello))
        self.stream = rpc.PollerServiceStub(channel).Session(iter(self.frames.get, None))
        self.heard = time.monotonic()

    def run(self):
        try:
            welcome = next(self.stream).welcome
            print("connected", flush=True)
            threading.Thread(target=self.beat, args=(welcome,), daemon=True).start()
            for frame in self.stream:
                self.heard = time.monotonic()
                self.apply(frame)
        finally:  # without a session there is no right to any mapping
            for reader in self.readers.values():
                reader.owned = False
                reader.stop.set()
            for answer in list(self.answers.values()):
                answer.put(None)
            self.frames.put(None)

    def beat(self, welcome):
        while self.stream.is_active():
            if time.monotonic() - self.heard > welcome.lease_ms / 1000:
                self.stream.cancel()
            self.frames.put(pb.PollerServiceSessionRequest())
            time.sleep(welcome.heartbeat_interval_ms / 1000)

    def apply(self, frame):
        for answer in frame.answers:
            if waiting := self.answers.pop(answer.ticket, None):
                waiting.put(answer.outcome)
        for assignment in frame.assignments:
            self.assign(assignment)
        for revocation in frame.revocations:
            reader = self.readers.get(revocation.mapping_id)
            if reader and reader.fence == revocation.fence:
                reader.stop.set()  # what runs ends; then it releases
        for order in frame.seeks:
            report = pb.SeekReport(ticket=order.ticket, error=f"{KIND} cannot seek")
            self.frames.put(pb.PollerServiceSessionRequest(seeks=[report]))

    def assign(self, assignment):
        reader = self.readers.get(assignment.mapping.id)
        if reader and reader.fence == assignment.fence and reader.ident:
            reader.paused = assignment.paused  # a known one that is to pause or to go on
            return
        if not reader or reader.fence != assignment.fence:
            if reader:  # under an older fence nothing counts any more
                reader.owned = False
                reader.stop.set()
            reader = self.readers[assignment.mapping.id] = Reader(self, assignment)
        for kept in assignment.checkpoints:
            reader.position = int(kept.position)
        if not assignment.more:  # else the rest of the checkpoints is in the next frame
            reader.start()

    def ask(self, report):
        report.ticket = next(self.tickets)
        answer = self.answers[report.ticket] = queue.Queue()
        self.frames.put(pb.PollerServiceSessionRequest(checkpoints=[report]))
        while self.stream.is_active():
            try:
                return answer.get(timeout=1)
            except queue.Empty:
                pass
        return None


def main(address, name="outbox"):
    wait = 0.1
    while True:
        try:
            with grpc.insecure_channel(address) as channel:
                Session(channel, name).run()
            wait = 0.1
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}; again in {wait} s", file=sys.stderr)
        time.sleep(wait)
        wait = min(2 * wait, WAIT_S_MAX)


if __name__ == "__main__":
    main(*sys.argv[1:])
