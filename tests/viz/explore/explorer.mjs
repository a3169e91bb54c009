// Does to an Explorer what each line says, and answers with what it shows after each action.

import {createInterface} from "node:readline";
import {Explorer} from "./explorer.js";
import {readGraph} from "./graph.js";
import {reason, sentence} from "./words.js";

const written = (x) => (x === null || Number.isFinite(x) ? x : String(x));

for await (const line of createInterface({input: process.stdin})) {
  const {graph, acts} = JSON.parse(line);
  const explorer = new Explorer(readGraph(graph));
  const {leaves} = explorer.graph;
  const does = {
    type: (i, x) => explorer.setLeaf(leaves[i], x),
    descend: (rate) => explorer.descend(rate),
    undo: () => explorer.undo(),
    reset: () => explorer.reset(),
    go: (to) => explorer.go(to),
    step: (by) => explorer.go(explorer.position + by),
    mode: (mode) => explorer.setMode(mode),
    seed: (i) => explorer.setSeed(leaves[i]),
  };
  const shown = [];
  for (const [action, ...given] of acts) {
    does[action](...given);
    const again = new Explorer(readGraph(graph));
    again.decode(explorer.encode());
    for (const one of [explorer, again]) {
      const frame = one.frame();
      const said = frame.step
        ? sentence(one.graph, one.pass, frame.step, one.mode) + reason(one.graph, frame.step, one.mode)
        : "";
      shown.push({values: frame.values.map(written), flows: frame.flows.map(written), said});
    }
  }
  console.log(JSON.stringify(shown));
}
