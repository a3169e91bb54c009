/**
 * The state of the page and everything that can be done to it, without any of its looks: which
 * numbers the leaves have, which sweep is shown, and how far it has come.
 */

import {backwardSteps, evaluate, forwardSteps, gradients, valueSteps} from "./graph.js";
import {exact, typed} from "./words.js";

/**
 * @typedef {import('./graph.js').Graph} Graph
 * @typedef {import('./graph.js').Pass} Pass
 * @typedef {import('./graph.js').Step} Step
 *
 * What is known after some steps; null where nothing is yet.
 * @typedef {object} Frame
 * @property {(number | null)[]} values
 * @property {(number | null)[]} flows     gradients, or tangents in forward mode
 * @property {Step | null} step            the last one
 * @property {boolean} locals              whether local derivatives are known
 */

export class Explorer {
  /** @param {Graph} graph */
  constructor(graph) {
    this.graph = graph;
    /** @type {number[]} */
    this.start = graph.leaves.map((k) => graph.nodes[k].data);
    this.leaves = [...this.start];
    /** @type {"reverse" | "forward"} */
    this.mode = "reverse";
    this.seed = graph.leaves[0] ?? graph.root;
    /** @type {number | null} */
    this.selected = null;
    /** @type {Set<number>} leaves that descent leaves alone */
    this.kept = new Set();
    /** @type {{leaves: number[], losses: number[]}[]} */
    this.history = [];
    /** @type {Pass | null} the numbers before the last change */
    this.previous = null;
    this.pass = evaluate(graph, this.leaves);
    this.losses = [this.pass.values[graph.root]];
    /** @type {Step[]} */
    this.steps = [];
    this.position = 0;
    this.#restep();
    this.position = this.steps.length;
  }

  #restep() {
    const {graph, pass} = this;
    this.steps = this.mode === "reverse"
      ? [...valueSteps(graph, pass), ...backwardSteps(graph, pass)]
      : forwardSteps(graph, pass, this.seed);
    this.position = Math.min(this.position, this.steps.length);
  }

  /** @param {number[]} leaves */
  #run(leaves) {
    const done = this.position === this.steps.length;
    this.leaves = leaves;
    this.pass = evaluate(this.graph, leaves);
    this.#restep();
    if (done) this.position = this.steps.length;
  }

  /** Remember how things are, so that they can be undone. */
  remember() {
    this.history.push({leaves: [...this.leaves], losses: [...this.losses]});
    this.previous = this.pass;
  }

  // --- the numbers -------------------------------------------------------------------------------

  /** @param {number} k a node @returns {number} its place among the leaves, or -1 */
  place(k) {
    return this.graph.leaves.indexOf(k);
  }

  /** @param {number} k @returns {boolean} */
  canChange(k) {
    return this.place(k) >= 0 && !this.graph.nodes[k].locked;
  }

  /**
   * Give a leaf another number; a drag remembers only where it began.
   *
   * @param {number} k @param {number} x @param {boolean} remember
   */
  setLeaf(k, x, remember = true) {
    if (!this.canChange(k)) return;
    if (remember) this.remember();
    const leaves = [...this.leaves];
    leaves[this.place(k)] = x;
    this.#run(leaves);
    this.losses = [this.pass.values[this.graph.root]];
  }

  /** One step of gradient descent. @param {number} rate */
  descend(rate) {
    this.remember();
    const found = gradients(this.graph, this.pass);
    this.#run(this.leaves.map((x, i) => {
      const k = this.graph.leaves[i];
      const slope = found[k];
      return slope === null || this.kept.has(k) || !this.canChange(k) ? x : x - rate * slope;
    }));
    this.losses = [...this.losses, this.pass.values[this.graph.root]];
  }

  undo() {
    const before = this.history.pop();
    if (!before) return;
    this.#run(before.leaves);
    this.losses = before.losses;
    this.previous = null;
  }

  reset() {
    this.remember();
    this.#run([...this.start]);
    this.losses = [this.pass.values[this.graph.root]];
    this.previous = null;
  }

  /** What the root would be, and what the gradient says. @param {number} k @param {number} h */
  nudge(k, h) {
    const leaves = [...this.leaves];
    leaves[this.place(k)] += h;
    const root = this.graph.root;
    const there = evaluate(this.graph, leaves).values[root];
    const slope = this.gradient(k) ?? 0;
    return {there, change: there - this.pass.values[root], predicted: slope * h, slope};
  }

  /** The gradient of every node; null where the result does not depend on it. */
  slopes() {
    return gradients(this.graph, this.pass);
  }

  /** @param {number} k @returns {number | null} */
  gradient(k) {
    return this.slopes()[k];
  }

  // --- the steps ---------------------------------------------------------------------------------

  /** @param {number} position */
  go(position) {
    this.position = Math.max(0, Math.min(this.steps.length, Math.round(position)));
  }

  /** Go to the first step that gives a node something. @param {number} k */
  jump(k) {
    const wanted = (/** @type {Step} */ step) => step.node === k && step.kind !== "value";
    const at = this.steps.findIndex(wanted);
    this.go((at < 0 ? this.steps.findIndex((step) => step.node === k) : at) + 1);
  }

  /** @param {"reverse" | "forward"} mode */
  setMode(mode) {
    this.mode = mode;
    this.#restep();
    this.position = this.steps.length;
  }

  /** @param {number} k */
  setSeed(k) {
    this.seed = k;
    this.setMode("forward");
  }

  /** @returns {Frame} */
  frame() {
    const {graph, pass, mode} = this;
    const values = graph.nodes.map((node, k) => (node.row === null ? pass.values[k] : null));
    /** @type {(number | null)[]} */
    const flows = graph.nodes.map(() => null);
    const done = this.steps.slice(0, this.position);
    for (const step of done) (step.kind === "value" ? values : flows)[step.node] = step.after;
    const step = done.at(-1) ?? null;
    return {values, flows, step, locals: mode === "forward" || done.some((s) => s.kind === "seed")};
  }

  // --- the address -------------------------------------------------------------------------------

  /** The state as the fragment of an address. @returns {string} */
  encode() {
    const parts = [];
    if (this.mode === "forward") parts.push(`forward=${this.seed}`);
    if (this.position < this.steps.length) parts.push(`step=${this.position}`);
    const changed = this.leaves.flatMap((x, i) =>
      Object.is(x, this.start[i]) ? [] : [`${this.graph.leaves[i]}:${exact(x)}`]);
    if (changed.length) parts.push(`at=${changed.join(",")}`);
    if (this.selected !== null) parts.push(`node=${this.selected}`);
    return parts.join("&");
  }

  /** Take over what an address says, as far as it makes sense. @param {string} fragment */
  decode(fragment) {
    const found = new URLSearchParams(fragment);
    const leaves = [...this.start];
    for (const part of (found.get("at") ?? "").split(",")) {
      const [k, text] = part.split(":");
      const x = typed(text ?? "");
      if (x !== null && this.canChange(Number(k))) leaves[this.place(Number(k))] = x;
    }
    this.#run(leaves);
    this.losses = [this.pass.values[this.graph.root]];
    const seed = Number(found.get("forward") ?? NaN);
    if (this.place(seed) >= 0) this.setSeed(seed);
    else this.setMode("reverse");
    const step = Number(found.get("step") ?? NaN);
    if (Number.isFinite(step)) this.go(step);
    const node = Number(found.get("node") ?? NaN);
    this.selected = Number.isInteger(node) && node in this.graph.nodes ? node : null;
  }
}
