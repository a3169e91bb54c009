// Trains a Network as each line says, and answers with what every example gives then.

import {createInterface} from "node:readline";
import {Network} from "./network.js";

const written = (x) => (Array.isArray(x) ? x.map(written) : Number.isFinite(x) ? x : String(x));

for await (const line of createInterface({input: process.stdin})) {
  const {network: data, acts} = JSON.parse(line);
  const network = new Network(data);
  const shown = [];
  for (const [action, ...given] of acts) {
    network[action](...given);
    const passes = network.X.map((_, i) => network.pass(i));
    shown.push({
      thetas: written(network.thetas),
      mean: written(network.meanCost()),
      passes: passes.map((pass) =>
        [pass.a, pass.z, pass.delta, pass.cost, network.gradient(pass)].map(written)),
    });
  }
  console.log(JSON.stringify(shown));
}
