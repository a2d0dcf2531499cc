"""A back end on the unchanged Azure IoT service SDK, driven line by line.

Reads {"do": name of a registry manager method, "args": [...]} per line and answers {"reply": ...}. The certificate
authority comes from REQUESTS_CA_BUNDLE. Argument: connection string.
"""

import json
import sys

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification, Twin, TwinProperties
from msrest.serialization import Model

manager = IoTHubRegistryManager.from_connection_string(sys.argv[1])


def desired(device, module, patch, etag="*"):
    twin = Twin(properties=TwinProperties(desired=patch))
    if module:
        return manager.update_module_twin(device, module, twin, etag)
    return manager.update_twin(device, twin, etag)


def tags(device, patch):
    return manager.update_twin(device, Twin(tags=patch), "*")


def invoke(device, module, name, payload):
    method = CloudToDeviceMethod(
        method_name=name, payload=payload, response_timeout_in_seconds=20, connect_timeout_in_seconds=3
    )
    if module:
        return manager.invoke_device_module_method(device, module, method)
    return manager.invoke_device_method(device, method)


def query(text):
    result = manager.query_iot_hub(QuerySpecification(query=text))
    return {"type": result.type, "items": result.items}


SPECIAL = {"desired": desired, "tags": tags, "invoke": invoke, "query": query}


def plain(value):
    if isinstance(value, Model):
        # as_dict drops what the model does not know; the items of a query result are plain already.
        return {key: plain(item) for key, item in value.__dict__.items() if key != "additional_properties"}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


for text in sys.stdin:
    command = json.loads(text)
    call = SPECIAL.get(command["do"]) or getattr(manager, command["do"])
    try:
        line = {"reply": plain(call(*command["args"]))}
    except Exception as error:  # the test decides what a failure means
        status = getattr(getattr(error, "response", None), "status_code", None)
        line = {"failure": repr(error), "status": status}
    print(json.dumps(line, default=str), flush=True)
