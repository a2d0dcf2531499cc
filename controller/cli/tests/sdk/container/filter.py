"""A module as people write it for Azure IoT Edge with the SDK for Python: passes on what is above a threshold of its twin."""

import json
import os
import signal
import threading

from azure.iot.device import IoTHubModuleClient, Message, MethodResponse

# The first process of a container is not ended by a signal that it does not handle.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
threshold = None
client = IoTHubModuleClient.create_from_edge_environment()


def adopt(desired):
    global threshold
    if "threshold" in desired:
        threshold = desired["threshold"]
        client.patch_twin_reported_properties({"threshold": threshold, "user": os.getuid()})


def received(message):
    reading = json.loads(message.data)
    if message.input_name != "readings" or reading["celsius"] <= threshold:
        return
    alert = Message(json.dumps({"celsius": reading["celsius"], "above": threshold}))
    alert.content_type, alert.content_encoding = "application/json", "utf-8"
    alert.custom_properties["kind"] = "alert"
    client.send_message_to_output(alert, "alerts")


def answer(request):
    response = MethodResponse.create_from_method_request(request, 200, {"echo": request.payload})
    client.send_method_response(response)


client.connect()
adopt(client.get_twin()["desired"])
client.on_twin_desired_properties_patch_received = adopt
client.on_message_received = received
client.on_method_request_received = answer
print(os.environ["GREETING"], flush=True)
threading.Event().wait()
