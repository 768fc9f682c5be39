// What Node sees in a body: one answer line for each question line. A question is {"body": base64, "kind": "message" |
// "answer" | "stream", "expect": ...}; where it expects something, the answer is what differs. Numbers are compared by
// value, since JSON.parse keeps no text, and by text where it tells its reviver (Node 22).
import { createInterface } from "node:readline";

class Numeral {
  constructor(text) {
    this.text = text;
  }
}

const spelled = (value) => (Object.is(value, -0) ? "-0" : String(value));
const parse = (text) =>
  JSON.parse(text, (_name, value, context) =>
    typeof value === "number" ? new Numeral(context?.source ?? spelled(value)) : value,
  );

const quote = (text) => {
  let out = '"';
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    const plain = unit >= 0x20 && unit < 0x7f && unit !== 0x22 && unit !== 0x5c;
    out += plain ? text[at] : "\\u" + unit.toString(16).padStart(4, "0");
  }
  return out + '"';
};

const canonical = (value) => {
  if (value === null || value === undefined) return "null";
  if (value instanceof Numeral) return value.text;
  if (typeof value === "string") return quote(value);
  if (typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return "[" + value.map(canonical).join(",") + "]";
  const inner = Object.keys(value).map((name) => quote(name) + ":" + canonical(value[name]));
  return "{" + inner.sort().join(",") + "}";
};

// The names of what Node reads otherwise than expected. What is expected is a JSON text itself.
const differences = (seen, expect) =>
  Object.keys(expect).filter((key) => seen[key] !== canonical(parse(expect[key]))).map((key) => `${key}: ${seen[key]}`);

const own = (value, name) =>
  value !== null && typeof value === "object" && !Array.isArray(value) && Object.hasOwn(value, name) ? value[name] : null;

const message = (document) => {
  const params = own(document, "params");
  const seen = {
    method: own(document, "method"),
    id: own(document, "id"),
    name: own(params, "name"),
    uri: own(params, "uri"),
    arguments: own(params, "arguments"),
    params,
  };
  return Object.fromEntries(Object.entries(seen).map(([key, value]) => [key, canonical(value)]));
};

const lists = { tools: "name", prompts: "name", resources: "uri", resourceTemplates: "uriTemplate", tasks: "taskId" };

const answer = (document) => {
  const names = [];
  for (const [shape, key] of Object.entries(lists)) {
    const entries = own(own(document, "result"), shape);
    for (const entry of Array.isArray(entries) ? entries : []) names.push(shape + " " + canonical(own(entry, key)));
  }
  return { names: names.sort() };
};

const events = (text) => {
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/);
  lines.pop();
  const found = [];
  let data = [];
  for (const line of lines) {
    if (line === "") {
      if (data.length) found.push(data.join("\n"));
      data = [];
    } else if (line === "data" || line.startsWith("data:")) {
      data.push(line.slice(5).replace(/^ /, ""));
    }
  }
  return found;
};

for await (const line of createInterface({ input: process.stdin })) {
  const { body, kind, expect } = JSON.parse(line);
  let seen;
  try {
    const text = new TextDecoder("utf-8", { fatal: kind !== "stream", ignoreBOM: true }).decode(Buffer.from(body, "base64"));
    if (kind === "stream") seen = events(text).filter(Boolean).map((data) => answer(parse(data)));
    else if (kind === "message") seen = { differs: differences(message(parse(text)), expect) };
    else seen = answer(parse(text));
  } catch (error) {
    seen = { refused: String(error) };
  }
  process.stdout.write(JSON.stringify({ node: seen }) + "\n");
}
