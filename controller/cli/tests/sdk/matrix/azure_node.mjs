// A row of the matrix on the Azure IoT device SDK for Node, unchanged. Argument: JSON with `transport` (mqtt, websocket, http),
// `ca` (file) and `connection`; without `connection` it is a module in its edge environment.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { PerformanceObserver } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";

const require = createRequire(path.join(process.env.HEM_TEST_NPM, "index.js"));
const { Client, Message, ModuleClient } = require("azure-iot-device");
const { Http } = require("azure-iot-device-http");
const { Mqtt, MqttWs } = require("azure-iot-device-mqtt");

const config = JSON.parse(process.argv[2]);
const Transport = { mqtt: Mqtt, websocket: MqttWs, http: Http }[config.transport];
const isModule = config.connection === undefined || config.connection.includes("ModuleId=");
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const failed = (error) => ({ failure: `${error.name}: ${error.message}`, cause: String(error.innerError ?? "") });
process.on("unhandledRejection", (error) => say({ event: "exception", ...failed(error) }));

// All at once: the SDK forgets the authority at the next call of setOptions. HTTP answers only where something is said of it.
const options = (more) => ({
  ca: readFileSync(config.ca, "ascii"),
  ...(config.transport === "http" ? { http: { receivePolicy: { interval: 1 } } } : {}),
  ...more,
});

let client;
let twin;
let renewing = false;

const receive = (what) => async (message) => {
  const properties = message.properties.propertyList.map(({ key, value }) => [
    config.transport === "http" ? key.replace(/^iothub-app-/, "") : key,
    value,
  ]);
  try {
    await client.complete(message);
    say({
      ...what,
      body: message.getData().toString(),
      properties: Object.fromEntries(properties),
      id: message.messageId,
      correlation: message.correlationId,
    });
  } catch (error) {
    say({ event: "exception", ...failed(error) });
  }
};

async function open() {
  await client?.close();
  twin = undefined;
  renewing = false;
  if (config.connection === undefined) {
    client = await ModuleClient.fromEnvironment(Transport);
  } else {
    client = (isModule ? ModuleClient : Client).fromConnectionString(config.connection, Transport);
    await client.setOptions(options());
  }
  client.on("error", (error) => say({ event: "exception", ...failed(error) }));
  // Before it opens: what waits in the hub comes at once, and is acknowledged by the SDK whoever listens.
  if (isModule) {
    client.on("inputMessage", (input, message) => receive({ event: "input", input })(message));
  } else {
    client.on("message", receive({ event: "message" }));
  }
  await client.open();
}

async function watch() {
  if (config.transport === "http") return;
  twin = await client.getTwin();
  twin.on("properties.desired", (patch) => say({ event: "desired", patch }));
  const method = isModule ? client.onMethod : client.onDeviceMethod;
  method.call(client, "echo", (request, response) => {
    say({ event: "method", name: request.methodName, payload: request.payload });
    response.send(200, { echo: request.payload }, () => {});
  });
}

// A connection keeps its token for life, so a new token comes with a new connection; the SDK says nothing of it.
new PerformanceObserver((list) => {
  const connects = list.getEntries().filter(({ name }) => name === "connect");
  if (renewing && config.transport !== "http" && connects.length > 0) {
    renewing = false;
    say({ event: "renewed" });
  }
}).observe({ entryTypes: ["net"] });

async function renew(seconds) {
  await open();
  await watch();
  if (config.transport === "http") {
    // Nothing reconnects here; a new token is all that can be seen.
    client._transport._authenticationProvider.once("newTokenAvailable", () => say({ event: "renewed" }));
  }
  renewing = true;
  const tokenRenewal = { tokenValidTimeInSeconds: 60, tokenRenewalMarginInSeconds: 60 - seconds };
  await client.setOptions(options({ tokenRenewal }));
}

async function send({ body, properties, id, correlation, output }) {
  const message = new Message(body);
  message.messageId = id;
  message.correlationId = correlation;
  message.contentType = "application/json";
  message.contentEncoding = "utf-8";
  for (const [key, value] of Object.entries(properties)) message.properties.add(key, value);
  await (output === undefined ? client.sendEvent(message) : client.sendOutputEvent(output, message));
}

const commands = {
  open,
  watch,
  // After `close` an object of this SDK does not notice any more that a connection is lost: programs make a new one.
  disconnect: async () => {
    const closing = client;
    client = undefined;
    await closing.close();
  },
  connect: async () => {
    await open();
    await watch();
  },
  renew: ({ seconds }) => renew(seconds),
  twin: async () => {
    const seen = await client.getTwin();
    const { reported, desired } = seen.properties;
    return { reported: { ...reported, update: undefined }, desired };
  },
  report: ({ patch }) =>
    new Promise((resolve, reject) =>
      twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve())),
    ),
  send,
  upload: async ({ name, content }) => {
    const bytes = Buffer.from(content);
    await client.uploadToBlob(name, Readable.from(bytes, { objectMode: false }), bytes.length);
  },
};

for await (const text of createInterface({ input: process.stdin })) {
  const line = JSON.parse(text);
  try {
    say({ reply: (await commands[line.do](line)) ?? null });
  } catch (error) {
    say(failed(error));
  }
}
process.exit(0);
