/**
 * A graph of numbers, and what the engine does with it: values forwards in the order of creation,
 * gradients backwards, tangents forwards.  The sums are taken in the engine's order, so that they
 * are the engine's numbers.
 */

import {ROWS} from "./rows.js";

/**
 * @typedef {object} Node
 * @property {string | null} row       the name of its row in the table; null for a leaf
 * @property {string} name             what sentences call it
 * @property {string} term             the same, in parentheses where it is a sum or product
 * @property {string} expression       the expression that it computes, if that is short
 * @property {string} op               what its box says
 * @property {string} label
 * @property {number} data
 * @property {{node: number, constant: number}[]} operands   node -1 for a constant
 * @property {(number | null)[] | null} partials   given, where the row has no JavaScript; one per operand
 * @property {boolean} locked          whether such a row depends on it: it cannot be changed
 *
 * @typedef {object} Graph
 * @property {Node[]} nodes            in the order of creation
 * @property {number} root
 * @property {number[]} leaves
 * @property {Record<string, {arguments: string[], value: string, partials: string[]}>} rules
 *
 * @typedef {object} Link   the dependence of a node on another through one operand
 * @property {number} node
 * @property {number} from
 * @property {number} slot
 * @property {number} partial
 *
 * @typedef {object} Pass   everything forward: values, and the links of each node
 * @property {number[]} values
 * @property {Link[][]} links
 * @property {boolean[]} reached       whether the root depends on it
 */

/** Numbers that JSON lacks are written as text. @param {number | string} x */
export function readNumber(x) {
  return typeof x === "string" ? {inf: Infinity, "-inf": -Infinity, nan: NaN}[x] ?? NaN : x;
}

/** @param {any} data what Python wrote @returns {Graph} */
export function readGraph(data) {
  const nodes = data.nodes.map((/** @type {any} */ node) => ({
    ...node,
    data: readNumber(node.data),
    operands: node.operands.map((/** @type {any} */ x) =>
      Array.isArray(x) ? {node: -1, constant: readNumber(x[0])} : {node: x, constant: NaN}),
    partials: node.partials ? node.partials.map(readNumber) : null,
    locked: false,
  }));
  for (const node of [...nodes].reverse()) {
    if (!node.partials && !node.locked) continue;
    for (const {node: k} of node.operands) if (k >= 0) nodes[k].locked = true;
  }
  const leaves = nodes.flatMap((/** @type {Node} */ node, /** @type {number} */ k) =>
    node.row === null ? [k] : []);
  return {nodes, root: data.root, leaves, rules: data.rules};
}

/**
 * The operands that a result depends on, and the partial for each: as Primitive.linked and
 * Primitive.partial_values of the engine.
 *
 * @param {Node} node @param {number[]} args @param {number} y @param {number} k
 * @returns {Link[]}
 */
function linksOf(node, args, y, k) {
  const row = ROWS[/** @type {string} */ (node.row)];
  let linked = node.operands.flatMap((x, i) => (x.node >= 0 ? [i] : []));
  /** @type {number[]} */
  let partials = [];
  if (node.partials) {
    linked = linked.filter((i) => node.partials?.[i] !== null);
    partials = linked.map((i) => node.partials?.[i] ?? NaN);
  } else if (row.takes && !row.takes(...args)) {
    partials = linked.map(() => NaN);
  } else if (row.selects) {
    const chosen = row.selects(...args);
    linked = linked.filter((i) => i === chosen);
    partials = linked.map(() => 1);
  } else if (row.variadic) {
    partials = row.variadic(args, y, linked);
  } else {
    const rules = row.partials ?? [];
    linked = linked.filter((i) => rules[i] !== null);
    partials = linked.map((i) => /** @type {any} */ (rules[i])(...args, y));
  }
  return linked.map((slot, i) =>
    ({node: k, from: node.operands[slot].node, slot, partial: partials[i]}));
}

/** @param {Node} node @param {number[]} values */
export function argumentsOf(node, values) {
  return node.operands.map((x) => (x.node >= 0 ? values[x.node] : x.constant));
}

/**
 * Compute every value and every local derivative.
 *
 * @param {Graph} graph @param {number[]} leaves one number for each of graph.leaves @returns {Pass}
 */
export function evaluate(graph, leaves) {
  const values = new Array(graph.nodes.length).fill(NaN);
  /** @type {Link[][]} */
  const links = graph.nodes.map(() => []);
  graph.leaves.forEach((k, i) => (values[k] = leaves[i]));
  graph.nodes.forEach((node, k) => {
    if (node.row === null) return;
    const args = argumentsOf(node, values);
    if (node.partials) {
      values[k] = node.data;
    } else {
      const row = ROWS[node.row];
      values[k] = row.takes && !row.takes(...args) ? NaN : row.value(...args);
    }
    links[k] = linksOf(node, args, values[k], k);
  });
  const reached = graph.nodes.map((_, k) => k === graph.root);
  for (let k = graph.root; k >= 0; k--) {
    if (reached[k]) for (const link of links[k]) reached[link.from] = true;
  }
  return {values, links, reached};
}

/**
 * One thing that happens: a node gets its value, the sweep is seeded, or a link sends something.
 *
 * @typedef {object} Step
 * @property {"value" | "seed" | "flow"} kind
 * @property {number} node         who gets it
 * @property {Link | null} link    the link of a flow
 * @property {number} by           what the partial is multiplied by
 * @property {number} before       the sum so far
 * @property {boolean} first       whether it is the first term
 * @property {number} after        the value, or the sum with it
 */

/** @param {"value" | "seed"} kind @param {number} node @param {number} after @returns {Step} */
function plain(kind, node, after) {
  return {kind, node, link: null, by: NaN, before: 0, first: true, after};
}

/** @param {Graph} graph @param {Pass} pass @returns {Step[]} */
export function valueSteps(graph, pass) {
  return graph.nodes.flatMap((node, k) =>
    node.row === null ? [] : [plain("value", k, pass.values[k])]);
}

/**
 * The backward sweep: from the youngest node to the oldest, partial times gradient is added to the
 * gradient of each parent.
 *
 * @param {Graph} graph @param {Pass} pass @returns {Step[]}
 */
export function backwardSteps(graph, pass) {
  const steps = [plain("seed", graph.root, 1)];
  const sums = new Array(graph.nodes.length).fill(0);
  const seen = new Set([graph.root]);
  sums[graph.root] = 1;
  for (let k = graph.root; k >= 0; k--) {
    if (!pass.reached[k]) continue;
    for (const link of pass.links[k]) {
      const before = sums[link.from];
      const after = (sums[link.from] = before + link.partial * sums[k]);
      const first = !seen.has(link.from);
      seen.add(link.from);
      steps.push({kind: "flow", node: link.from, link, by: sums[k], before, first, after});
    }
  }
  return steps;
}

/**
 * The forward sweep from one leaf: values and tangents, in the order of creation.
 *
 * @param {Graph} graph @param {Pass} pass @param {number} seed @returns {Step[]}
 */
export function forwardSteps(graph, pass, seed) {
  const steps = [plain("seed", seed, 1)];
  const tangents = new Array(graph.nodes.length).fill(null);
  tangents[seed] = 1;
  graph.nodes.forEach((node, k) => {
    if (node.row !== null) steps.push(plain("value", k, pass.values[k]));
    for (const link of pass.reached[k] ? pass.links[k] : []) {
      const by = tangents[link.from];
      if (by === null) continue;
      const before = tangents[k];
      const after = (tangents[k] = before === null ? link.partial * by : before + link.partial * by);
      steps.push(
        {kind: "flow", node: k, link, by, before: before ?? 0, first: before === null, after});
    }
  });
  return steps;
}

/** The gradient of each node; null where the root does not depend on it. @param {Graph} graph
 * @param {Pass} pass @returns {(number | null)[]} */
export function gradients(graph, pass) {
  /** @type {(number | null)[]} */
  const found = graph.nodes.map((_, k) => (pass.reached[k] ? 0 : null));
  for (const step of backwardSteps(graph, pass)) found[step.node] = step.after;
  return found;
}

/**
 * A way from a node to the root, and the product of the local derivatives along it.
 *
 * @typedef {{links: Link[], product: number}} Path
 */

/**
 * All ways from a node to the root, as many as *most*; and how many there are.
 *
 * @param {Graph} graph @param {Pass} pass @param {number} start @param {number} most
 * @returns {{paths: Path[], count: number}}
 */
export function pathsToRoot(graph, pass, start, most = 40) {
  /** @type {Link[][]} */
  const out = graph.nodes.map(() => []);
  const count = graph.nodes.map(() => 0);
  count[graph.root] = 1;
  for (let k = graph.root; k >= 0; k--) {
    if (!pass.reached[k]) continue;
    for (const link of pass.links[k]) {
      out[link.from].push(link);
      count[link.from] += count[k];
    }
  }
  /** @type {Path[]} */
  const paths = [];
  /** @type {{at: number, links: Link[], product: number}[]} */
  const todo = [{at: start, links: [], product: 1}];
  while (todo.length && paths.length < most) {
    const way = /** @type {any} */ (todo.pop());
    if (way.at === graph.root) {
      paths.push({links: way.links, product: way.product});
      continue;
    }
    for (const link of [...out[way.at]].reverse()) {
      todo.push({at: link.node, links: [...way.links, link], product: way.product * link.partial});
    }
  }
  return {paths, count: count[start]};
}
