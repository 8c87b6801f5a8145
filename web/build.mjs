// Bundles the page into evenkeel/report/page and writes THIRD_PARTY_NOTICES.md. The first line of either file holds a hash
// of all sources and one of what follows that line, by which a test can tell whether the committed bundle is current and
// as it was built.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const web = dirname(fileURLToPath(import.meta.url));
const root = dirname(web);
const out = process.argv[2] ?? join(root, "evenkeel/report/page");

function files(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? files(join(folder, e.name)) : [join(folder, e.name)]));
}

/** SHA-256 over "path, size, content" of every source, in order of path. tests/system/report_test.py does the same. */
function sourceHash() {
  const sources = [...files(join(web, "src")), ...["package.json", "package-lock.json", "tsconfig.json", "build.mjs"].map((f) => join(web, f))];
  const hash = createHash("sha256");
  for (const name of sources.map((f) => relative(web, f)).sort()) {
    const content = readFileSync(join(web, name));
    hash.update(`${name}\n${content.length}\n`).update(content);
  }
  return hash.digest("hex");
}

/** The packages that really went in, with their licence texts; equal texts once. */
function notices(metafile) {
  const folders = new Set();
  for (const output of Object.values(metafile.outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
      if (match && bytesInOutput > 0) folders.add(match[1]);
    }
  }
  const byText = new Map();
  for (const folder of [...folders].sort()) {
    const about = JSON.parse(readFileSync(join(web, folder, "package.json"), "utf8"));
    const file = ["LICENSE", "LICENSE.md", "LICENSE.txt", "license"].map((f) => join(web, folder, f)).find(existsSync);
    if (!file) throw new Error(`${about.name} has no licence file`);
    const text = readFileSync(file, "utf8").replaceAll("\r", "").trim();
    byText.set(text, [...(byText.get(text) ?? []), `${about.name} ${about.version} (${about.license})`]);
  }
  return [...byText].map(([text, names]) => ({ names, text }));
}

const result = await esbuild.build({
  absWorkingDir: web,
  entryPoints: { report: "src/main.ts", style: "src/style.ts" },
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2020",
  charset: "ascii",
  legalComments: "none",
  outdir: out,
  metafile: true,
  write: false,
});
const find = (name) => result.outputFiles.find((f) => f.path.endsWith(name)).text;
const used = notices(result.metafile);
const stamped = (body) =>
  `/* evenkeel report page; built from web/; sources sha256 ${sourceHash()}; body sha256 ${createHash("sha256").update(body).digest("hex")} */\n${body}`;
const licences = used.map(({ names, text }) => `${names.join(", ")}\n\n${text}`).join("\n\n----\n\n");
if (licences.includes("*/")) throw new Error("a licence text would end the comment");
writeFileSync(join(out, "report.js"), stamped(`${find("report.js").replaceAll("</script", "<\\/script")}/*\nThis file contains:\n\n${licences}\n*/\n`));
writeFileSync(join(out, "report.css"), stamped(find("style.css")));

const heading = "# Third-party notices\n\nThe page of evenkeel's reports (`evenkeel/report/page/report.js`, and so every report) contains these works. Written by `web/build.mjs`.\n";
const body = used.map(({ names, text }) => `\n## ${names.join(", ")}\n\n\`\`\`\n${text}\n\`\`\`\n`).join("");
if (!process.argv[2]) writeFileSync(join(root, "THIRD_PARTY_NOTICES.md"), heading + body);
