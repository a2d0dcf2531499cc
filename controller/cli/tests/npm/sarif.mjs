// Standard input against the JSON Schema of SARIF 2.1.0.
import { file, input, judge, load } from "./parts.mjs";

const Ajv = load("ajv-draft-04").default;
// One pattern of the schema is not written for Unicode mode.
const ajv = new Ajv({ allErrors: true, strict: false, unicodeRegExp: false });
load("ajv-formats").default(ajv);
const schema = JSON.parse(file("@microsoft", "jest-sarif", "lib", "schemas", "sarif-2.1.0-rtm.5.json"));
const valid = ajv.compile(schema);
valid(JSON.parse(input()));
judge((valid.errors ?? []).map((error) => `${error.instancePath} ${error.message} ${JSON.stringify(error.params)}`));
