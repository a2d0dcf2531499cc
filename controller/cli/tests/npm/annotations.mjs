// Standard input is {"lines": what `--format github` printed, "findings": what `--format json` printed}. The same findings
// go through GitHub's own toolkit; what the runner takes out of both must be equal.
import { input, judge, load } from "./parts.mjs";

const core = load("@actions/core");
const { lines, findings } = JSON.parse(input());

// As the runner takes a line apart: the command, its properties, the message, each with its own escapes.
function parsed(line) {
  const [, command, properties, message] = /^::(\w+) (.*?)::(.*)$/s.exec(line) ?? [];
  const data = (text) => text.replace(/%0D/g, "\r").replace(/%0A/g, "\n").replace(/%25/g, "%");
  const property = (text) => data(text.replace(/%3A/g, ":").replace(/%2C/g, ","));
  const entries = properties.split(",").map((pair) => {
    const [name, ...value] = pair.split("=");
    return [name, property(value.join("="))];
  });
  return { command, properties: Object.fromEntries(entries.sort()), message: data(message) };
}

// The toolkit only writes to standard output.
function toolkit(finding) {
  const write = process.stdout.write;
  let said = "";
  process.stdout.write = (text) => ((said += text), true);
  const act = { error: core.error, warning: core.warning, note: core.notice }[finding.severity];
  const position = finding.position;
  const place = position && {
    file: position.file.replace(/^\.\//, ""),
    startLine: position.line,
    startColumn: position.column,
    endColumn: finding.endColumn ?? undefined,
  };
  const message = [finding.message, finding.hint, ...finding.notes]
    .filter((text) => text !== null)
    .join("\n")
    // A log is a terminal: what would move its cursor is not sent there.
    .replace(/(?![\n\r\t])\p{Cc}/gu, "\ufffd");
  act(message, { title: finding.rule, ...place });
  process.stdout.write = write;
  return said.replace(/\r?\n$/, "");
}

const rank = ["error", "warning", "note"];
findings.sort((a, b) => rank.indexOf(a.severity) - rank.indexOf(b.severity));
const ours = lines.trimEnd().split("\n");
const wrong = [];
if (ours.length !== findings.length) wrong.push(`${ours.length} lines for ${findings.length} findings`);
findings.forEach((finding, index) => {
  const [is, wanted] = [parsed(ours[index]), parsed(toolkit(finding))].map((one) => JSON.stringify(one));
  if (is !== wanted) wrong.push(`${is}\n  should be\n${wanted}`);
});
judge(wrong);
