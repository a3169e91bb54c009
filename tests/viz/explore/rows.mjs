// Reads cases from standard input, a line each, and answers each in a line: what the rows give.

import {createInterface} from "node:readline";
import {readNumber} from "./graph.js";
import {ROWS} from "./rows.js";

const written = (x) => (Number.isFinite(x) ? (Object.is(x, -0) ? "-0.0" : x) : String(x));

for await (const line of createInterface({input: process.stdin})) {
  const {row: name, args: given, linked} = JSON.parse(line);
  const row = ROWS[name];
  const args = given.map(readNumber);
  const y = row.value(...args);
  const partials = row.variadic
    ? row.variadic(args, y, linked)
    : linked.map((i) => (row.selects ? 1 : row.partials[i](...args, y)));
  console.log(JSON.stringify([y, ...partials].map(written)));
}
