// Writes the number in each line as the page does.

import {createInterface} from "node:readline";
import {readNumber} from "./graph.js";
import {short} from "./words.js";

for await (const line of createInterface({input: process.stdin})) {
  console.log(JSON.stringify(short(readNumber(JSON.parse(line)))));
}
