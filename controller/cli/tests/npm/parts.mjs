// What the other scripts share: packages from the folder that `cargo xtask test` made, and the text on standard input.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const folder = process.env.HEM_TEST_NPM;

/** Loads a package. */
export const load = createRequire(join(folder, "package.json"));

/** A file of a package, which its `exports` may hide. */
export const file = (...path) => readFileSync(join(folder, "node_modules", ...path), "utf8");

/** Where a file of a package is. */
export const place = (...path) => join(folder, "node_modules", ...path);

/** Everything on standard input. */
export const input = () => readFileSync(0, "utf8");

/** Ends with what is wrong, or with nothing. */
export function judge(wrong) {
  for (const line of wrong) console.log(line);
  process.exit(wrong.length > 0 ? 1 : 0);
}
