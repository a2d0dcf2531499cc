"""User-defined topics with Eclipse Paho for Python, unchanged. Argument: JSON with `ca` (file) and `connection`.

Paho comes back by itself when it is closed, and says so: {"event": "closed"}, {"event": "connection"}.
"""

import json
import queue
import sys

import paho.mqtt.client as mqtt

from by_hand import Identity
from lines import say, serve

config = json.loads(sys.argv[1])
identity = Identity(config["connection"])
# Nothing takes longer unless something is wrong.
LIMIT = 50

connected, granted = queue.Queue(), queue.Queue()
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=identity.client_id,
    clean_session=False,
    protocol=mqtt.MQTTv311,
)
client.tls_set(ca_certs=config["ca"])
client.username_pw_set(identity.user_name, identity.token(3600))
client.reconnect_delay_set(min_delay=1, max_delay=1)


def on_connect(_client, _userdata, flags, reason, _properties):
    connected.put(reason)
    say(event="connection", present=flags.session_present)


client.on_connect = on_connect
client.on_disconnect = lambda *_: say(event="closed")
client.on_subscribe = lambda _client, _userdata, _id, reasons, _properties: granted.put(reasons)
client.on_message = lambda _client, _userdata, got: say(
    event="message", topic=got.topic, body=got.payload.decode(), qos=got.qos, retained=got.retain
)


def connect(line):
    if line["will"]:
        client.will_set(qos=1, **line["will"])
    client.connect(identity.host, 8883)
    client.loop_start()
    reason = connected.get(timeout=LIMIT)
    if reason.is_failure:
        raise ConnectionError(str(reason))


def subscribe(line):
    """The guarantee of each filter; null where it is refused."""
    client.subscribe([(filter, line["qos"]) for filter in line["filters"]])
    return [None if reason.is_failure else reason.value for reason in granted.get(timeout=LIMIT)]


def publish(line):
    sent = client.publish(line["topic"], line["body"], qos=1, retain=line.get("retain", False))
    sent.wait_for_publish(LIMIT)
    if not sent.is_published():
        raise TimeoutError("no PUBACK")


def offer(line):
    """Waits for nothing: who may not say it is closed."""
    client.publish(line["topic"], "x", qos=0)


serve({"connect": connect, "subscribe": subscribe, "publish": publish, "offer": offer})
