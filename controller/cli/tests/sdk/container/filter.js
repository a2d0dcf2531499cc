// A module as people write it for Azure IoT Edge with the SDK for Node: passes on what is above a threshold of its twin.
const { Mqtt } = require("azure-iot-device-mqtt");
const { Message, ModuleClient } = require("azure-iot-device");

// The first process of a container is not ended by a signal that it does not handle.
process.on("SIGTERM", () => process.exit(0));

async function main() {
  const client = await ModuleClient.fromEnvironment(Mqtt);
  client.on("error", (error) => console.error(error.message));
  let threshold;
  client.on("inputMessage", async (input, message) => {
    const reading = JSON.parse(message.getBytes().toString("utf8"));
    await client.complete(message);
    if (input !== "readings" || reading.celsius <= threshold) return;
    const alert = new Message(JSON.stringify({ celsius: reading.celsius, above: threshold }));
    alert.contentType = "application/json";
    alert.contentEncoding = "utf-8";
    alert.properties.add("kind", "alert");
    await client.sendOutputEvent("alerts", alert);
  });
  await client.open();
  const twin = await client.getTwin();
  twin.on("properties.desired", (desired) => {
    if (desired.threshold === undefined) return;
    threshold = desired.threshold;
    twin.properties.reported.update({ threshold, user: process.getuid() }, (error) => error && console.error(error));
  });
  client.onMethod("echo", (request, response) => response.send(200, { echo: request.payload }, () => {}));
  console.log(process.env.GREETING);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
