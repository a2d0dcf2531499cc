"""A row of the matrix on mosquitto_sub, mosquitto_pub and mosquitto_rr with credentials, topics and properties written by hand.

One identity has one connection: the receiver goes away while something is sent, and its session waits for it.
Argument: JSON with `ca` (file) and `connection`.
"""

import json
import subprocess
import sys
import threading

from by_hand import Identity, message
from lines import say, serve

config = json.loads(sys.argv[1])
identity = Identity(config["connection"])
HOUR = 3600
# Nothing takes longer unless something is wrong.
LIMIT = 50
DESIRED = "$iothub/twin/PATCH/properties/desired/"
RESPONSES = "$iothub/twin/res/"


def tool(name, seconds, *arguments):
    there = ["-h", identity.host, "-p", "8883", "--cafile", config["ca"], "-V", "mqttv311"]
    who = ["-i", identity.client_id, "-u", identity.user_name, "-P", identity.token(seconds)]
    return [name, *there, *who, *arguments]


class Receiver:
    """mosquitto_sub on everything that comes for the device. It ends with a connection that breaks, and is started again."""

    def __init__(self, seconds=HOUR):
        self.ending = threading.Event()
        self.changing = threading.Lock()
        self.ready = threading.Event()
        self.back = threading.Event()
        self.said = []
        self.process = self.begin(seconds)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not self.ready.wait(LIMIT):
            self.stop()
            raise TimeoutError(f"no subscription: {self.said}")

    def begin(self, seconds):
        topics = ["-t", DESIRED + "#", "-t", f"{identity.path}/messages/devicebound/#"]
        # It ends with us, however we end; and into a pipe it would say everything at its end.
        command = ["setpriv", "--pdeathsig", "KILL", "stdbuf", "-oL", *tool("mosquitto_sub", seconds, "-c", "-q", "1", "-d", "-F", "MESSAGE %t %x", *topics)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def read(self):
        self.listen()
        while not self.ending.wait(0.2):
            with self.changing:
                if self.ending.is_set():
                    return
                self.process = self.begin(HOUR)
            self.listen()

    def listen(self):
        connects = 0
        for line in self.process.stdout:
            if line.startswith("MESSAGE "):
                _, topic, payload = line.rstrip("\n").split(" ")
                self.received(topic, bytes.fromhex(payload).decode())
                continue
            self.said.append(line.rstrip())
            if "sending CONNECT" in line:
                connects += 1
                if connects == 2:
                    self.back.set()
            if "received CONNACK (0)" in line:
                say(event="connection")
            if line.startswith("Subscribed"):
                self.ready.set()
        self.back.set()

    def received(self, topic, body):
        if topic.startswith(DESIRED):
            say(event="desired", patch=json.loads(body))
        else:
            say(**message(topic, body))

    def stop(self):
        with self.changing:
            self.ending.set()
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            # Without a connection it tries for ever and listens to nobody.
            self.process.kill()
            self.process.wait(LIMIT)
        self.reader.join(LIMIT)


receiver = None


def stop():
    global receiver
    if receiver is not None:
        receiver, stopping = None, receiver
        stopping.stop()


def start(seconds=HOUR):
    global receiver
    stop()
    receiver = Receiver(seconds)


def run(name, *arguments):
    """Something that needs the connection for itself."""
    stop()
    try:
        done = subprocess.run(tool(name, HOUR, *arguments), capture_output=True, text=True, timeout=LIMIT)
    finally:
        start()
    if done.returncode != 0:
        raise RuntimeError(f"{name} ended with {done.returncode}: {done.stdout} {done.stderr}")
    return done.stdout


def request(topic, body, wanted):
    """A question about the twin and its answer."""
    # The tool wants a topic, not a filter, though the answer's has more to it; the hub answers whoever asks.
    answers = f"{RESPONSES}{wanted}/?$rid=1"
    said = run("mosquitto_rr", "-c", "-t", f"{topic}?$rid=1", "-e", answers, "-m", body, "-F", "%t %x")
    answer, payload = said.rstrip("\n").split(" ")
    status, query = answer[len(RESPONSES) :].split("/?")
    if status != wanted or "$rid=1" not in query.split("&"):
        raise ValueError(said)
    return json.loads(bytes.fromhex(payload)) if payload else None


def renew(seconds):
    start(seconds)
    # The hub closes a connection whose token has run out; a command line can only begin again with a new one.
    if not receiver.back.wait(LIMIT):
        raise TimeoutError(f"the connection outlives its token: {receiver.said}")
    start()
    say(event="renewed")


serve(
    {
        "open": lambda line: start(),
        "watch": lambda line: None,
        "disconnect": lambda line: stop(),
        "connect": lambda line: start(),
        "renew": lambda line: renew(line["seconds"]),
        "twin": lambda line: request("$iothub/twin/GET/", " ", "200"),
        "report": lambda line: request(
            "$iothub/twin/PATCH/properties/reported/", json.dumps(line["patch"]), "204"
        ),
        "send": lambda line: run(
            "mosquitto_pub", "-c", "-q", "1", "-t", identity.events_topic(line), "-m", line["body"]
        ) and None,
    }
)
stop()
