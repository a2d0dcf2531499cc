// A device on the unchanged Azure IoT SDK for Node over HTTPS: no connection, a request for each thing. Arguments: connection
// string, file with the certificate authority. Sends telemetry, then settles the three messages that it is sent: it completes,
// rejects and gives back, and completes what it gave back when it comes again. Prints one JSON line for each thing.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.HEM_TEST_NPM, "index.js"));
const { Client, Message } = require("azure-iot-device");
const { Http } = require("azure-iot-device-http");

const [connectionString, caFile] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const fail = (error) => {
  say({ failure: String(error), name: error.name, cause: String(error.innerError ?? "") });
  process.exit(1);
};
process.on("unhandledRejection", fail);

const client = Client.fromConnectionString(connectionString, Http);
// All at once: the SDK forgets the authority at the next call of setOptions.
await client.setOptions({ ca: readFileSync(caFile, "ascii"), http: { receivePolicy: { interval: 1 } } });
await client.open();

const message = new Message(JSON.stringify({ n: 1 }));
message.messageId = "up-1";
message.contentType = "application/json";
message.contentEncoding = "utf-8";
message.properties.add("kind", "first day");
await client.sendEvent(message);
await client.sendEventBatch([new Message("two"), new Message("three")]);
say({ sent: 3 });

const how = { complete: "complete", reject: "reject", later: "abandon" };
let settled = 0;
const seen = new Set();
client.on("error", fail);
client.on("message", async (received) => {
  try {
    const body = received.getData().toString();
    const verb = seen.has(body) ? "complete" : how[body];
    seen.add(body);
    await client[verb](received);
    const properties = received.properties.propertyList.map(({ key, value }) => [key, value]);
    say({ body, verb, id: received.messageId, correlation: received.correlationId, to: received.to, properties });
    settled += verb === "abandon" ? 0 : 1;
    if (settled === 3) {
      await client.close();
      process.exit(0);
    }
  } catch (error) {
    fail(error);
  }
});
