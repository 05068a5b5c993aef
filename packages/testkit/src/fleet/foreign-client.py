"""A client that knows nothing of Taskfleet but docs/protocol.md: it follows one live query and prints what it holds.

    python foreign-client.py URL QUERY [TOKEN]

QUERY is the request of `subscribeQuery` as JSON. Each change is one line of JSON on stdout: `why` it changed (`snapshot`,
`replayed`, `delta`, or a reset's reason), `epoch`, `seq`, `rows` and their `checksum`. A line on stdin that says
`checksum` asks the gateway for its own and prints both; the end of stdin ends the client.
"""

import json
import sys

import engineio
import socketio


class InOrder(engineio.Client):
    """Handles each message before the next one is read; by itself this library starts a thread for each."""

    def _trigger_event(self, event, *args, **kwargs):
        return super()._trigger_event(event, *args, **{**kwargs, "run_async": False})


class Connection(socketio.Client):
    def _engineio_client_class(self):
        return InOrder


def checksum_of(rows):
    """FNV-1a with 64 bits over `_id:rev` and a line feed for each row."""
    number = 0xCBF29CE484222325
    for byte in "".join(f"{row['_id']}:{row.get('rev', 0)}\n" for row in rows).encode():
        number = ((number ^ byte) * 0x100000001B3) % 2**64
    return f"{number:016x}"


def applied(rows, delta):
    """Takes out every row that the delta names, then puts the changed and added ones in by ascending index."""
    placed = sorted(delta["added"] + delta["changed"], key=lambda one: one["index"])
    named = set(delta["removed"]) | {one["row"]["_id"] for one in placed}
    rows = [row for row in rows if row["_id"] not in named]
    for one in placed:
        rows.insert(one["index"], one["row"])
    return rows


class LiveRows:
    def __init__(self, connection, query):
        self.connection, self.query = connection, query
        self.subscription = self.epoch = None
        self.seq, self.rows = 0, []

    def subscribe(self):
        """With every connection: the gateway forgets a subscription with the connection that it was made on."""
        resume = {} if self.epoch is None else {"resume": {"epoch": self.epoch, "seq": self.seq}}
        self.connection.emit("subscribeQuery", {**self.query, **resume}, callback=self.answered)

    def answered(self, answer):
        if not answer["ok"]:
            say("refused", error=answer["error"])
            return
        self.subscription = answer["subscription"]
        if "deltas" in answer:
            for delta in answer["deltas"]:
                self.take(delta)
            self.tell("replayed")
        else:
            self.replace(answer, "snapshot")

    def delta(self, delta):
        if delta["subscription"] == self.subscription:
            self.take(delta)
            self.tell("delta")

    def take(self, delta):
        if delta["seq"] != self.seq + 1:
            raise ValueError(f"a gap: {self.seq} is followed by {delta['seq']}")
        self.seq, self.rows = delta["seq"], applied(self.rows, delta)

    def reset(self, reset):
        if reset["subscription"] == self.subscription:
            self.replace(reset, reset["reason"])

    def replace(self, body, why):
        self.epoch, self.seq, self.rows = body["epoch"], body["seq"], body["rows"]
        self.tell(why)

    def tell(self, why):
        say(why, epoch=self.epoch, seq=self.seq, rows=self.rows, checksum=checksum_of(self.rows))

    def compare(self):
        def told(answer):
            say("checksum", gateway=answer, seq=self.seq, checksum=checksum_of(self.rows))

        self.connection.emit("checksumQuery", {"subscription": self.subscription}, callback=told)


def say(why, **what):
    print(json.dumps({"why": why, **what}), flush=True)


def main(url, query, token=None):
    connection = Connection(reconnection_delay=0.1, reconnection_delay_max=1)
    live = LiveRows(connection, json.loads(query))
    connection.on("connect", live.subscribe)
    connection.on("queryDelta", live.delta)
    connection.on("queryReset", live.reset)
    connection.connect(url, transports=["websocket"], auth={} if token is None else {"token": token})
    for line in sys.stdin:
        if line.strip() == "checksum":
            live.compare()
    connection.disconnect()


main(*sys.argv[1:])
