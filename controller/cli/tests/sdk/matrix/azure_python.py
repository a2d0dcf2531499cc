"""A row of the matrix on the Azure IoT device SDK for Python, synchronous or asyncio, unchanged.

Argument: JSON with `style` (sync, aio), `transport` (mqtt, websocket), `ca` (file) and `connection`; without `connection` it
is a module in its edge environment.
"""

import asyncio
import inspect
import json
import sys

from azure.iot.device import Message, MethodResponse
from azure.storage.blob import BlobClient

from lines import say

config = json.loads(sys.argv[1])
if config["style"] == "aio":
    from azure.iot.device.aio import IoTHubDeviceClient, IoTHubModuleClient
else:
    from azure.iot.device import IoTHubDeviceClient, IoTHubModuleClient

connection = config.get("connection")
ca = config["ca"]
# The SDK makes a new token this long before the old one ends.
MARGIN = 120


async def done(result):
    """What a call of either style gives."""
    return await result if inspect.isawaitable(result) else result


def create(**options):
    options["websockets"] = config["transport"] == "websocket"
    # How often it tries to come back; else every 10 s.
    options["connection_retry_interval"] = 1
    if connection is None:
        return IoTHubModuleClient.create_from_edge_environment(**options)
    kind = IoTHubModuleClient if "ModuleId=" in connection else IoTHubDeviceClient
    with open(ca, encoding="ascii") as file:
        return kind.create_from_connection_string(connection, server_verification_cert=file.read(), **options)


class Session:
    """One client object after the other."""

    def __init__(self):
        self.client = None
        self.renewing = False
        self.changes = 0

    async def open(self, **options):
        await self.close()
        self.client = create(**options)
        self.client.on_connection_state_change = self.connection_changed
        self.client.on_background_exception = lambda error: say(event="exception", text=repr(error))
        await done(self.client.connect())

    async def close(self):
        if self.client is not None:
            client, self.client = self.client, None
            await done(client.shutdown())

    def connection_changed(self):
        say(event="connection")
        self.changes += 1
        # Gone and back again: a connection keeps its token for life.
        if self.renewing and self.changes == 2:
            say(event="renewed")

    async def renew(self, seconds):
        self.renewing = False
        await self.open(sastoken_ttl=MARGIN + seconds)
        await self.watch()
        self.changes = 0
        self.renewing = True

    async def watch(self):
        """Handlers are what makes the SDK subscribe; set once, never again."""
        client = self.client

        def respond(request):
            say(event="method", name=request.name, payload=request.payload)
            payload = {"echo": request.payload}
            return client.send_method_response(
                MethodResponse.create_from_method_request(request, 200, payload)
            )

        async def respond_later(request):
            await respond(request)

        client.on_twin_desired_properties_patch_received = lambda patch: say(event="desired", patch=patch)
        client.on_message_received = received
        client.on_method_request_received = respond_later if config["style"] == "aio" else respond

    async def send(self, command):
        message = Message(command["body"])
        message.message_id = command.get("id")
        message.correlation_id = command.get("correlation")
        message.content_type = "application/json"
        message.content_encoding = "utf-8"
        message.custom_properties.update(command["properties"])
        if "output" in command:
            await done(self.client.send_message_to_output(message, command["output"]))
        else:
            await done(self.client.send_message(message))

    async def upload(self, name, content):
        """As the tutorial has it: ask where to, put with the storage SDK, say that it is done."""
        storage = await done(self.client.get_storage_info_for_blob(name))
        url = "https://{hostName}/{containerName}/{blobName}{sasToken}".format(**storage)
        with BlobClient.from_blob_url(url, connection_verify=ca) as blob:
            await asyncio.to_thread(blob.upload_blob, content.encode(), overwrite=True)
        await done(self.client.notify_blob_upload_status(storage["correlationId"], True, 200, "OK"))


def received(message):
    what = {"event": "input", "input": message.input_name} if message.input_name else {"event": "message"}
    say(
        **what,
        body=message.data.decode(),
        properties=message.custom_properties,
        id=message.message_id,
        correlation=message.correlation_id,
    )


session = Session()
COMMANDS = {
    "open": lambda line: session.open(),
    "watch": lambda line: session.watch(),
    "disconnect": lambda line: session.client.disconnect(),
    "connect": lambda line: session.client.connect(),
    "renew": lambda line: session.renew(line["seconds"]),
    "twin": lambda line: session.client.get_twin(),
    "report": lambda line: session.client.patch_twin_reported_properties(line["patch"]),
    "send": session.send,
    "upload": lambda line: session.upload(line["name"], line["content"]),
}


async def main():
    loop = asyncio.get_running_loop()
    while text := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(text)
        try:
            say(reply=await done(COMMANDS[command["do"]](command)))
        except Exception as error:  # the test decides what a failure means
            say(failure=repr(error), cause=repr(error.__cause__))


asyncio.run(main())
