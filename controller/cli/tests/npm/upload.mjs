// A device on the unchanged Azure IoT SDK for Node uploads a file. Arguments: connection string, file with the certificate
// authority, name of the file, how many bytes. The SDK does the rest: asks where to, puts blocks, says that it is done.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { Readable } from "node:stream";

const [connectionString, caFile, name, size] = process.argv.slice(2);
const require = createRequire(path.join(process.env.HEM_TEST_NPM, "index.js"));
const { Client } = require("azure-iot-device");
const { Http } = require("azure-iot-device-http");

const client = Client.fromConnectionString(connectionString, Http);
// This transport answers only where something is said of it.
await client.setOptions({ ca: readFileSync(caFile, "ascii"), http: { receivePolicy: { interval: 1 } } });

const line = Buffer.from("0123456789abcde\n");
const pieces = function* () {
  for (let left = Number(size); left > 0; left -= 65536) {
    yield Buffer.alloc(Math.min(left, 65536), line);
  }
};
try {
  await client.uploadToBlob(name, Readable.from(pieces(), { objectMode: false }), Number(size));
  process.stdout.write("uploaded\n");
  process.exit(0);
} catch (error) {
  process.stdout.write(`${error.name}: ${error.message} ${error.innerError ?? ""}\n`);
  process.exit(1);
}
