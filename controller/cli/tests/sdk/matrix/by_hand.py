"""What a program writes itself when it has no SDK, only an MQTT library: tokens, user name, topics, properties."""

import base64
import hashlib
import hmac
import time
from urllib.parse import quote, unquote

API_VERSION = "2021-04-12"


class Identity:
    """Who a connection string speaks of."""

    def __init__(self, connection_string):
        parts = dict(part.split("=", 1) for part in connection_string.split(";"))
        self.host = parts["HostName"]
        self.device = parts["DeviceId"]
        self.module = parts.get("ModuleId")
        self.key = base64.b64decode(parts["SharedAccessKey"])

    @property
    def client_id(self):
        return f"{self.device}/{self.module}" if self.module else self.device

    @property
    def user_name(self):
        return f"{self.host}/{self.client_id}/?api-version={API_VERSION}"

    @property
    def path(self):
        return f"devices/{self.device}/modules/{self.module}" if self.module else f"devices/{self.device}"

    def token(self, seconds):
        resource = quote(f"{self.host}/{self.path}", safe="")
        expiry = int(time.time() + seconds)
        signature = hmac.new(self.key, f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
        return f"SharedAccessSignature sr={resource}&sig={quote(base64.b64encode(signature), safe='')}&se={expiry}"

    def events_topic(self, command):
        system = {
            "$.on": command.get("output"),
            "$.mid": command.get("id"),
            "$.cid": command.get("correlation"),
            "$.ct": "application/json",
            "$.ce": "utf-8",
        }
        pairs = [(key, value) for key, value in system.items() if value is not None]
        return f"{self.path}/messages/events/" + bag(pairs + list(command["properties"].items()))


def bag(pairs):
    """A key without `=` has no value."""
    return "&".join(
        quote(key, safe="") + ("" if value is None else "=" + quote(value, safe="")) for key, value in pairs
    )


def unpacked(text):
    pairs = (pair.split("=", 1) for pair in text.split("&") if pair)
    return {unquote(pair[0]): unquote(pair[1]) if len(pair) == 2 else None for pair in pairs}


def message(topic, body):
    """The event for a message to a device or to an input, from `…/devicebound/BAG` or `…/inputs/NAME/BAG`."""
    levels = topic.split("/")
    properties = unpacked(levels[-1])
    what = {"event": "input", "input": unquote(levels[-2])} if "/inputs/" in topic else {"event": "message"}
    return {
        **what,
        "body": body,
        "properties": {key: value for key, value in properties.items() if not key.startswith("$.")},
        "id": properties.get("$.mid"),
        "correlation": properties.get("$.cid"),
    }
