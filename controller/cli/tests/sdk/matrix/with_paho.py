"""A row of the matrix on Eclipse Paho for Python with credentials, topics and properties written by hand.

Argument: JSON with `transport` (mqtt, websocket), `ca` (file) and `connection`.
"""

import json
import queue
import sys
import threading

import paho.mqtt.client as mqtt

from by_hand import Identity, message
from lines import say, serve

config = json.loads(sys.argv[1])
identity = Identity(config["connection"])
HOUR = 3600
# Nothing takes longer unless something is wrong.
LIMIT = 50
DESIRED = "$iothub/twin/PATCH/properties/desired/"
METHODS = "$iothub/methods/POST/"
RESPONSES = "$iothub/twin/res/"


class Session:
    def __init__(self):
        websocket = config["transport"] == "websocket"
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=identity.client_id,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            transport="websockets" if websocket else "tcp",
        )
        self.port = 443 if websocket else 8883
        if websocket:
            self.client.ws_set_options(path="/$iothub/websocket")
        self.client.tls_set(ca_certs=config["ca"])
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        self.client.on_connect = self.connected
        self.client.on_disconnect = self.disconnected
        self.client.on_message = self.received
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.up = threading.Event()
        self.down = threading.Event()
        self.subscribed = threading.Event()
        self.responses = queue.Queue()
        self.requests = 0
        self.renewing = False
        self.refused = None

    def connect(self, seconds=HOUR):
        self.up.clear()
        self.client.username_pw_set(identity.user_name, identity.token(seconds))
        self.client.connect(identity.host, self.port)
        self.client.loop_start()
        if not self.up.wait(LIMIT):
            raise TimeoutError(f"no connection: {self.refused}")

    def disconnect(self):
        self.down.clear()
        self.client.disconnect()
        if not self.down.wait(LIMIT):
            raise TimeoutError("it stays connected")
        self.client.loop_stop()

    def connected(self, client, userdata, flags, reason, properties):
        self.refused = reason
        if reason.is_failure:
            return
        self.up.set()
        say(event="connection")
        if self.renewing:
            self.renewing = False
            say(event="renewed")

    def disconnected(self, client, userdata, flags, reason, properties):
        self.down.set()
        if self.renewing:
            # The hub closed a connection whose token has run out; the library comes back with what it has then.
            self.client.username_pw_set(identity.user_name, identity.token(HOUR))

    def renew(self, seconds):
        self.disconnect()
        self.connect(seconds)
        self.renewing = True

    def subscribe(self, topic, qos):
        self.subscribed.clear()
        self.client.subscribe(topic, qos)
        if not self.subscribed.wait(LIMIT):
            raise TimeoutError(f"no SUBACK for {topic}")

    def watch(self):
        self.subscribe(RESPONSES + "#", 0)
        self.subscribe(DESIRED + "#", 0)
        self.subscribe(METHODS + "#", 0)
        self.subscribe(identity.path + ("/inputs/#" if identity.module else "/messages/devicebound/#"), 1)

    def received(self, client, userdata, got):
        body = got.payload.decode()
        if got.topic.startswith(RESPONSES):
            self.responses.put((got.topic, body))
        elif got.topic.startswith(DESIRED):
            say(event="desired", patch=json.loads(body))
        elif got.topic.startswith(METHODS):
            name, query = got.topic[len(METHODS) :].split("/?$rid=")
            payload = json.loads(body) if body else None
            say(event="method", name=name, payload=payload)
            client.publish(f"$iothub/methods/res/200/?$rid={query}", json.dumps({"echo": payload}))
        else:
            say(**message(got.topic, body))

    def request(self, topic, body, wanted):
        """A question about the twin and its answer."""
        self.requests += 1
        self.client.publish(f"{topic}?$rid={self.requests}", body)
        answer, text = self.responses.get(timeout=LIMIT)
        status, query = answer[len(RESPONSES) :].split("/?")
        if status != wanted or f"$rid={self.requests}" not in query.split("&"):
            raise ValueError(f"{answer} {text}")
        return json.loads(text) if text else None

    def publish(self, command):
        sent = self.client.publish(identity.events_topic(command), command["body"], qos=1)
        sent.wait_for_publish(LIMIT)
        if not sent.is_published():
            raise TimeoutError("no PUBACK")


session = Session()


def reopen():
    if session.client.is_connected():
        session.disconnect()
    session.connect()


serve(
    {
        "open": lambda line: reopen(),
        "watch": lambda line: session.watch(),
        "disconnect": lambda line: session.disconnect(),
        "connect": lambda line: session.connect(),
        "renew": lambda line: session.renew(line["seconds"]),
        "twin": lambda line: session.request("$iothub/twin/GET/", "", "200"),
        "report": lambda line: session.request(
            "$iothub/twin/PATCH/properties/reported/", json.dumps(line["patch"]), "204"
        ),
        "send": session.publish,
    }
)
