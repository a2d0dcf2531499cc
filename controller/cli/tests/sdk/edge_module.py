"""A module of an edge device on the unchanged Azure IoT device SDK: nothing but the environment that the agent gives.

Answers direct methods. `everything` tries what a module gets from its agent and its gateway, with the neighbour that its
payload names, and returns what it found; `seal` and `open` encrypt and decrypt; `echo` is what neighbours call; `emit` sends its
payload to the output `readings`; `find` looks up a name. The workload API is asked with plain HTTP, as no SDK
for Python offers more of it than a client needs for itself.
"""

import base64
import http.client
import json
import os
import signal
import socket
import ssl
import tempfile
import threading
import urllib.parse

from azure.iot.device import IoTHubModuleClient, Message, MethodResponse

DEVICE = os.environ["IOTEDGE_DEVICEID"]
MODULE = os.environ["IOTEDGE_MODULEID"]
GATEWAY = os.environ["IOTEDGE_GATEWAYHOSTNAME"]
SOCKET = os.environ["IOTEDGE_WORKLOADURI"][len("unix://") :]
VECTOR = base64.b64encode(b"a vector longer than the nonce of a cipher").decode()


class Workload(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask(verb, path, body=None, at=SOCKET):
    connection = Workload(at)
    version = urllib.parse.quote(os.environ["IOTEDGE_APIVERSION"])
    connection.request(verb, f"{path}?api-version={version}", body=None if body is None else json.dumps(body))
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def own(call, body, module=MODULE, at=SOCKET):
    generation = os.environ["IOTEDGE_MODULEGENERATIONID"]
    return ask("POST", f"/modules/{module}/genid/{generation}/{call}", body, at)


def seal(text):
    plain = base64.b64encode(text.encode()).decode()
    return own("encrypt", {"plaintext": plain, "initializationVector": VECTOR})[1]["ciphertext"]


def unseal(text, vector=VECTOR):
    status, answer = own("decrypt", {"ciphertext": text, "initializationVector": vector})
    return base64.b64decode(answer["plaintext"]).decode() if status == 200 else status


def served():
    """A TLS server on a certificate from the agent, and a client that trusts the bundle and nothing else."""
    status, made = own("certificate/server", {"commonName": GATEWAY, "expiration": "2030-01-01T00:00:00Z"})
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(made["privateKey"]["bytes"] + made["certificate"])
        file.flush()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(file.name)
    client = ssl.create_default_context(cadata=ask("GET", "/trust-bundle")[1]["certificate"])
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    heard = {"status": status}
    for name in (GATEWAY, MODULE, "somebody.else"):
        near, far = socket.socketpair()

        def serve():
            try:
                with server.wrap_socket(far, server_side=True) as stream:
                    stream.sendall(b"welcome")
            except OSError:
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with client.wrap_socket(near, server_hostname=name) as stream:
                heard[name] = stream.recv(100).decode()
        except ssl.SSLCertVerificationError as error:
            heard[name] = error.verify_message
            near.close()
        thread.join()
    return heard


def call(device, module, name):
    """The SDK's own way from module to module."""
    wish = {"methodName": name, "payload": {"from": MODULE}, "responseTimeoutInSeconds": 5, "connectTimeoutInSeconds": 4}
    try:
        return client.invoke_method(wish, device, module)
    except Exception as error:  # the test decides what a failure means
        return repr(error.__cause__ or error)


def neighbours_socket(neighbour):
    """All processes run as one user, so the socket of a neighbour can be opened; that must not help. In a container there is none."""
    folder = os.path.dirname(os.path.dirname(SOCKET))
    path = os.path.join(folder, neighbour, "workload.sock")
    try:
        return own("sign", {"data": ""}, module=neighbour, at=path)[0]
    except FileNotFoundError:
        return "not there"


def everything(neighbour):
    text = seal("secret")
    return {
        "opened": unseal(text),
        "other vector": unseal(text, base64.b64encode(b"other").decode()),
        "tampered": unseal(text[:-8] + ("AAAAAAA=" if text[-8:] != "AAAAAAA=" else "BAAAAAA=")),
        "served": served(),
        "identity": ask("POST", f"/modules/{MODULE}/certificate/identity", {})[0],
        "neighbour's socket": neighbours_socket(neighbour),
        "neighbour": call(DEVICE, neighbour, "echo"),
        "nobody": call(DEVICE, "nobody", "echo"),
        "elsewhere": call("edge-2", "worker", "echo"),
    }


def emit(payload):
    client.send_message_to_output(Message(json.dumps(payload)), "readings")


METHODS = {
    "emit": emit,
    "find": socket.gethostbyname,
    "everything": everything,
    "echo": lambda payload: {"echo": payload},
    "seal": seal,
    "open": unseal,
}


def answer_method(request):
    try:
        status, payload = 200, METHODS[request.name](request.payload)
    except Exception as error:  # the test decides what a failure means
        status, payload = 500, repr(error)
    client.send_method_response(MethodResponse.create_from_method_request(request, status, payload))


# The first process of a container is not ended by a signal that it does not handle.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
client = IoTHubModuleClient.create_from_edge_environment()
client.on_method_request_received = answer_method
client.connect()
threading.Event().wait()
