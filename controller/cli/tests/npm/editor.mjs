// Drives the YAML language server as an editor does. Arguments: folder, perhaps `--schema=FILE` as an editor's setting for all
// of them, then for each document `path` or `path:line:column` (from 1). Prints JSON: by argument, the diagnostics of the document or what hover and completion say there.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { load, place } from "./parts.mjs";

const rpc = load("vscode-jsonrpc/node");
const [folder, ...rest] = process.argv.slice(2);
const wanted = rest.filter((argument) => !argument.startsWith("--"));
const schema = rest.find((argument) => argument.startsWith("--schema="))?.slice("--schema=".length);
const server = spawn(process.execPath, [place("yaml-language-server", "bin", "yaml-language-server"), "--stdio"], {
  stdio: ["pipe", "pipe", "inherit"],
});
const connection = rpc.createMessageConnection(
  new rpc.StreamMessageReader(server.stdout),
  new rpc.StreamMessageWriter(server.stdin),
);
const diagnostics = new Map();
const waiting = new Map();
connection.onNotification("textDocument/publishDiagnostics", ({ uri, diagnostics: found }) => {
  diagnostics.set(uri, found);
  waiting.get(uri)?.();
});
// It asks for settings and to register for their changes; the defaults will do, without looking anything up in the net.
const settings = { yaml: { schemaStore: { enable: false }, validate: true, hover: true, completion: true } };
if (schema) settings.yaml.schemas = { [pathToFileURL(schema).href]: ["**/*.yaml"] };
connection.onRequest("workspace/configuration", ({ items }) => items.map(({ section }) => settings[section] ?? {}));
connection.onRequest("client/registerCapability", () => null);
connection.listen();

const root = pathToFileURL(folder).href;
await connection.sendRequest("initialize", {
  processId: process.pid,
  rootUri: root,
  workspaceFolders: [{ uri: root, name: "fleet" }],
  capabilities: {
    workspace: { configuration: true },
    textDocument: {
      hover: { contentFormat: ["markdown"] },
      completion: { completionItem: { snippetSupport: false, documentationFormat: ["markdown"] } },
    },
  },
});
await connection.sendNotification("initialized", {});
await connection.sendNotification("workspace/didChangeConfiguration", { settings });

const answers = {};
for (const argument of wanted) {
  const [path, line, column] = argument.split(":");
  const uri = pathToFileURL(join(folder, path)).href;
  if (!diagnostics.has(uri)) {
    const told = new Promise((resolve) => waiting.set(uri, resolve));
    const text = readFileSync(join(folder, path), "utf8");
    await connection.sendNotification("textDocument/didOpen", {
      textDocument: { uri, languageId: "yaml", version: 1, text },
    });
    await told;
  }
  if (line === undefined) {
    answers[argument] = diagnostics.get(uri).map(({ message, range }) => ({
      line: range.start.line + 1,
      column: range.start.character + 1,
      message,
    }));
    continue;
  }
  const position = { line: Number(line) - 1, character: Number(column) - 1 };
  const at = { textDocument: { uri }, position };
  const hover = await connection.sendRequest("textDocument/hover", at);
  const offered = await connection.sendRequest("textDocument/completion", at);
  answers[argument] = {
    hover: hover?.contents?.value ?? "",
    completion: (offered?.items ?? offered ?? []).map(({ label }) => label).sort(),
  };
}
console.log(JSON.stringify(answers, null, 2));
connection.dispose();
server.kill();
process.exit(0);
