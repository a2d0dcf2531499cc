"""A device or module on the unchanged Azure IoT device SDK, driven line by line.

Reads one JSON command per line from standard input, answers each with {"reply": ...}; what happens by itself is printed
as {"event": ...}. Arguments: connection string, file with the certificate authority, "websockets" or "mqtt". Nothing else
is configured. With files of a certificate and its key as further arguments the client has no key in its connection string.
"""

import json
import sys
import threading

from azure.core.exceptions import ResourceExistsError
from azure.iot.device import X509, IoTHubDeviceClient, IoTHubModuleClient, Message, MethodResponse
from azure.storage.blob import BlobClient

connection_string, ca_file, transport = sys.argv[1:4]
printing = threading.Lock()


def say(**line):
    with printing:
        print(json.dumps(line), flush=True)


def make_client():
    kind = IoTHubModuleClient if "ModuleId=" in connection_string else IoTHubDeviceClient
    with open(ca_file, encoding="ascii") as ca:
        if "x509=true" in connection_string:
            parts = dict(part.split("=", 1) for part in connection_string.split(";"))
            return kind.create_from_x509_certificate(
                X509(*sys.argv[4:6]),
                parts["HostName"],
                parts["DeviceId"],
                server_verification_cert=ca.read(),
                websockets=transport == "websockets",
            )
        return kind.create_from_connection_string(
            connection_string, server_verification_cert=ca.read(), websockets=transport == "websockets"
        )


def answer_method(request):
    say(event="method", name=request.name, payload=request.payload)
    payload = {"echo": request.payload}
    client.send_method_response(MethodResponse.create_from_method_request(request, 200, payload))


def connection_changed():
    say(event="connection", connected=client.connected)


def watch():
    """Handlers are what makes the SDK subscribe; set once, never again."""
    client.on_twin_desired_properties_patch_received = lambda patch: say(event="desired", patch=patch)
    client.on_method_request_received = answer_method
    client.on_message_received = received


def received(message):
    say(
        event="message",
        body=message.data.decode(),
        properties=message.custom_properties,
        id=message.message_id,
        correlation=message.correlation_id,
        ack=message.ack,
        type=message.content_type,
        encoding=message.content_encoding,
        expires=message.expiry_time_utc,
    )


def send(body, properties):
    message = Message(json.dumps(body))
    message.content_type = "application/json"
    message.content_encoding = "utf-8"
    message.custom_properties.update(properties)
    client.send_message(message)


def upload(name, size, blocks):
    """As the tutorial has it: ask where to, put with the storage SDK, say that it is done."""
    storage = client.get_storage_info_for_blob(name)
    url = "https://{hostName}/{containerName}/{blobName}{sasToken}".format(**storage)
    # More than this goes as blocks, several at a time.
    limits = {"max_single_put_size": 1 << 20, "max_block_size": 1 << 18} if blocks else {}
    content = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
    with BlobClient.from_blob_url(url, connection_verify=ca_file, **limits) as blob:
        done = blob.upload_blob(content, overwrite=True, max_concurrency=4)
        known = blob.get_blob_properties()
        again = blob.download_blob().readall()
        try:
            blob.upload_blob(b"other", overwrite=False)
            refused = None
        except ResourceExistsError as error:
            refused = str(error.error_code)
    client.notify_blob_upload_status(storage["correlationId"], True, 200, "OK: " + name)
    return {
        "blob": storage["blobName"],
        "same": again == content,
        "size": known.size,
        "etag": done["etag"] == known.etag,
        "refused": refused,
    }


COMMANDS = {
    "upload": lambda line: upload(line["name"], line["size"], line["blocks"]),
    "connect": lambda line: client.connect(),
    "disconnect": lambda line: client.disconnect(),
    "watch": lambda line: watch(),
    "twin": lambda line: client.get_twin(),
    "report": lambda line: client.patch_twin_reported_properties(line["patch"]),
    "send": lambda line: send(line["body"], line.get("properties", {})),
    "shutdown": lambda line: client.shutdown(),
}

client = make_client()
client.on_connection_state_change = connection_changed
client.on_background_exception = lambda error: say(event="exception", text=repr(error), cause=repr(error.__cause__))
for text in sys.stdin:
    command = json.loads(text)
    try:
        say(reply=COMMANDS[command["do"]](command))
    except Exception as error:  # the test decides what a failure means
        say(failure=repr(error))
    if command["do"] == "shutdown":
        break
