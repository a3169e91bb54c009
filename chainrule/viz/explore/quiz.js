/**
 * Questions about the numbers of the page: a local derivative, or the gradient of a node; with
 * hints, and with a word on what a wrong answer would be right for.
 */

import {gradients} from "./graph.js";
import {factor, ruleOf, short} from "./words.js";

/**
 * @typedef {import('./graph.js').Graph} Graph
 * @typedef {import('./graph.js').Pass} Pass
 * @typedef {import('./graph.js').Link} Link
 *
 * @typedef {object} Question
 * @property {"local" | "gradient"} kind
 * @property {number} node          whose gradient, or of whose operand the derivative
 * @property {Link | null} link     the link of a local derivative
 * @property {number} answer
 * @property {string} text
 * @property {string[]} hints
 * @property {string} solution
 * @property {{number: number, says: string}[]} mistakes
 */

/**
 * A question, chosen by a number from 0 to 1; null where the graph has nothing to ask about.
 *
 * @param {Graph} graph @param {Pass} pass @param {number} chance @returns {Question | null}
 */
export function makeQuestion(graph, pass, chance) {
  const links = pass.links.flatMap((some, k) => (pass.reached[k] ? some : []))
    .filter((link) => Number.isFinite(link.partial));
  const found = gradients(graph, pass);
  const nodes = graph.nodes.flatMap((_, k) => {
    const slope = found[k];
    return k !== graph.root && slope !== null && Number.isFinite(slope) ? [k] : [];
  });
  const place = Math.min(0.999999, Math.max(0, chance)) * (links.length + nodes.length);
  if (place < links.length) return aboutLocal(graph, pass, links[Math.floor(place)]);
  const k = nodes[Math.floor(place) - links.length];
  return k === undefined ? null : aboutGradient(graph, pass, k, found);
}

/** @param {Graph} graph @param {Pass} pass @param {Link} link @returns {Question} */
function aboutLocal(graph, pass, link) {
  const [head, tail] = [graph.nodes[link.node], graph.nodes[link.from]];
  const rule = ruleOf(graph, link.node, link.slot);
  const others = head.operands.flatMap((x, i) =>
    i === link.slot ? [] : [{number: x.node >= 0 ? pass.values[x.node] : x.constant}]);
  const seen = head.operands.filter((x) => x.node === link.from).length > 1
    ? ` (only through operand ${link.slot + 1})` : "";
  const known = head.operands.map((x) => x.node < 0 ? ""
    : `${graph.nodes[x.node].name} = ${short(pass.values[x.node])}`).filter(Boolean).join(", ");
  return {
    kind: "local", node: link.node, link, answer: link.partial,
    text: `${head.name}${head.name === head.expression ? "" : ` = ${head.expression}`}, with`
      + ` ${known}. What is the local derivative`
      + ` d ${head.term} / d ${tail.term}${seen}?`,
    hints: [
      "A local derivative looks at one node only: hold its other operands fixed.",
      rule ? `The rule is ${rule}.` : `Nudge ${tail.name} a little: how much does the node move?`,
    ],
    solution: `d ${head.term} / d ${tail.term} = ${short(link.partial)}`
      + (rule ? `, since ${rule}.` : "."),
    mistakes: [
      {number: -link.partial, says: "The size is right, the sign is not."},
      {number: pass.values[link.node], says: "That is the value of the node, not its derivative."},
      {number: pass.values[link.from], says: `That is ${tail.name} itself. Which number does a`
        + ` change of ${tail.name} get multiplied by?`},
      ...others.map(({number}) => ({number, says: "That is the other operand."})),
    ],
  };
}

/** @param {Graph} graph @param {Pass} pass @param {number} k @param {(number | null)[]} found
 * @returns {Question} */
function aboutGradient(graph, pass, k, found) {
  const root = graph.nodes[graph.root].term;
  const name = graph.nodes[k].term;
  const uses = pass.links.flatMap((some, head) =>
    pass.reached[head] ? some.filter((link) => link.from === k) : []);
  const terms = uses.map((link) => link.partial * (found[link.node] ?? NaN));
  const of = (/** @type {Link} */ link) => graph.nodes[link.node].term;
  const products = uses.map((link) =>
    `${factor(link.partial)} × ${factor(found[link.node] ?? NaN)}`).join(" + ");
  const upstream = uses.map((link) =>
    `${of(link)}.grad = ${short(found[link.node] ?? NaN)}`).join(", ");
  const locals = uses.map((link) => `d ${of(link)} / d ${name} = ${short(link.partial)}`).join(", ");
  const answer = /** @type {number} */ (found[k]);
  return {
    kind: "gradient", node: k, link: null, answer,
    text: `What is ${name}.grad, that is d ${root} / d ${name}?`,
    hints: [
      `What arrives from upstream? ${upstream}.`,
      `And the local derivative${uses.length > 1 ? "s" : ""}? ${locals}.`,
      uses.length > 1 ? `${name} is used ${uses.length} times: multiply along each, then add.`
        : "Multiply the two.",
    ],
    solution: `${name}.grad = ${products} = ${short(answer)}.`,
    mistakes: [
      {number: -answer, says: "The size is right, the sign is not."},
      ...(uses.length > 1 ? terms : []).map((number, i) => ({number,
        says: `That is what flows through ${of(uses[i])} alone; ${name} is used`
          + ` ${uses.length} times, and all of it adds up.`})),
      ...uses.map((link) => ({number: link.partial,
        says: "That is the local derivative alone: the gradient from upstream is missing."})),
      ...uses.map((link) => ({number: found[link.node] ?? NaN,
        says: "That is the gradient from upstream alone: the local derivative is missing."})),
      {number: pass.values[k], says: "That is the value of the node."},
    ],
  };
}

/** Whether two numbers agree to about three digits. @param {number} a @param {number} b */
export function near(a, b) {
  return Math.abs(a - b) <= Math.max(5e-3 * Math.abs(b), 1e-9);
}

/** @param {Question} question @param {number} given @returns {{right: boolean, says: string}} */
export function judge(question, given) {
  if (given === null) return {right: false, says: "That is not a number."};
  if (near(given, question.answer)) return {right: true, says: `Right. ${question.solution}`};
  const mistake = question.mistakes.find(({number}) => near(given, number));
  return {right: false, says: `Not yet. ${mistake ? mistake.says : "Try again, or take a hint."}`};
}
