/** Numbers and steps in words. */

/**
 * @typedef {import('./graph.js').Graph} Graph
 * @typedef {import('./graph.js').Step} Step
 * @typedef {import('./graph.js').Pass} Pass
 */

/**
 * A number to four significant digits, as in the pictures: trailing zeros mean that something was
 * left out, other than those of rounding errors.
 *
 * @param {number} x
 */
export function short(x) {
  if (x !== x) return "nan";
  if (Math.abs(x) === Infinity) return x > 0 ? "inf" : "-inf";
  if (x === 0) return Object.is(x, -0) ? "-0" : "0";
  const [mantissa, exponent] = rounded(x);
  const near = Number(`${mantissa}e${exponent}`);
  const far = exponent < -4 || exponent >= 4;
  const text = far ? mantissa : near.toFixed(Math.max(0, 3 - exponent));
  const exact = Math.abs(near - x) <= 1e-12 * Math.max(Math.abs(near), Math.abs(x));
  const tidy = exact && text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  return far ? `${tidy}e${exponent}` : tidy;
}

/** A number with all its digits, in words that Python and `typed` read. @param {number} x */
export function exact(x) {
  return Number.isFinite(x) && x !== 0 ? String(x) : short(x);
}

/**
 * A number as a person types it; null where it is not one. What Python's float() reads is one, and
 * so is a minus sign of the typographers.
 *
 * @param {string} text @returns {number | null}
 */
export function typed(text) {
  const plain = text.trim().replaceAll("−", "-").toLowerCase();
  if (/^[-+]?nan$/.test(plain)) return NaN;
  if (/^[-+]?inf(inity)?$/.test(plain)) return plain.startsWith("-") ? -Infinity : Infinity;
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/.test(plain) ? Number(plain) : null;
}

/** What to say of a text that is not the number it should be. @param {string} text */
export function refusal(text) {
  const given = text.trim();
  const shown = given.length > 30 ? `${given.slice(0, 29)}…` : given;
  if (/^[-+]?\d*,\d+$/.test(given)) {
    return `“${shown}” has a comma: write ${shown.replace(",", ".")}, with a point.`;
  }
  const what = given === "" ? "Nothing was given" : `“${shown}” is not a number here`;
  return `${what}; expected one such as -0.5 or 1e-3.`;
}

/**
 * Four digits and the exponent; the even one where two are equally near, as Python rounds.
 *
 * @param {number} x @returns {[string, number]}
 */
function rounded(x) {
  const five = x.toExponential(4);
  const tie = Number(five) === x && /^(-?\d\.\d\d[02468])5e(.*)$/.exec(five);
  const [mantissa, exponent] = tie ? [tie[1], tie[2]] : x.toExponential(3).split("e");
  return [mantissa, Number(exponent)];
}

/** A factor in a product, or a term in a sum. @param {number} x */
export function factor(x) {
  return x < 0 || Object.is(x, -0) ? `(${short(x)})` : short(x);
}

/** The formula of a node with the numbers put in. @param {Graph} graph @param {Pass} pass
 * @param {number} k */
export function formula(graph, pass, k) {
  const node = graph.nodes[k];
  const numbers = node.operands.map((x) => (x.node >= 0 ? pass.values[x.node] : x.constant));
  return applied(node.row ?? "", numbers.map(factor));
}

/** @param {string} row @param {string[]} args */
function applied(row, args) {
  if (row === "neg") return `-${args[0]}`;
  if (row === "square") return `${args[0]}²`;
  if (row === "sum") return args.join(" + ");
  if (row === "dot") {
    const n = (args.length - 1) / 2;
    const products = args.slice(0, n).map((w, i) => `${w} × ${args[n + i]}`);
    return [...products, ...(args[2 * n] === "0" && n ? [] : [args[2 * n]])].join(" + ");
  }
  if (/^[-+*/]+$/.test(row)) return args.join({"*": " × ", "**": " ** "}[row] ?? ` ${row} `);
  return `${row}(${args.map((x) => x.replace(/^\((.*)\)$/, "$1")).join(", ")})`;
}

/**
 * What happens in a step, in one line, with the numbers put in.
 *
 * @param {Graph} graph @param {Pass} pass @param {Step} step @param {"reverse" | "forward"} mode
 */
export function sentence(graph, pass, step, mode) {
  const {name, term} = graph.nodes[step.node];
  const what = mode === "reverse" ? "grad" : "tangent";
  if (step.kind === "value") {
    const node = graph.nodes[step.node];
    const text = node.expression === name ? "" : ` = ${node.expression}`;
    if (node.partials) return `${name}${text} = ${short(step.after)}`;
    return `${name}${text} = ${formula(graph, pass, step.node)} = ${short(step.after)}`;
  }
  if (step.kind === "seed") return `${term}.${what} = 1`;
  const link = /** @type {import('./graph.js').Link} */ (step.link);
  const product = link.partial * step.by;
  const terms = `${factor(link.partial)} × ${factor(step.by)}`;
  if (step.first) return `${term}.${what} += ${terms} = ${short(product)}`;
  return `${term}.${what} += ${terms}: ${short(step.before)} + ${factor(product)} = `
    + short(step.after);
}

/** Why: the rule behind a step. @param {Graph} graph @param {Step} step
 * @param {"reverse" | "forward"} mode */
export function reason(graph, step, mode) {
  const root = graph.nodes[graph.root].term;
  const name = graph.nodes[step.node].term;
  if (step.kind === "value") return "The value of a node is computed from its operands.";
  if (step.kind === "seed") {
    return mode === "reverse"
      ? `The sweep begins at the result: d ${root} / d ${root} = 1.`
      : `The sweep begins at ${name}: d ${name} / d ${name} = 1.`;
  }
  const link = /** @type {import('./graph.js').Link} */ (step.link);
  const head = graph.nodes[link.node].term;
  const tail = graph.nodes[link.from].term;
  const of = ruleOf(graph, link.node, link.slot);
  const local = `d ${head} / d ${tail} = ${short(link.partial)}${of ? `, since ${of}` : ""}`;
  const through = mode === "reverse" ? `${head}.grad = ${short(step.by)}`
    : `${tail}.tangent = ${short(step.by)}`;
  const sum = step.first ? "" : ` ${name} is used more than once, so the terms add up.`;
  return `The local derivative ${local}; times ${through}.${sum}`;
}

/** The derivative of a row with respect to one operand, as a formula; empty where there is none.
 * @param {Graph} graph @param {number} k @param {number} slot */
export function ruleOf(graph, k, slot) {
  const rule = graph.rules[graph.nodes[k].row ?? ""];
  if (!rule || !rule.partials[slot]) return "";
  const value = /^\w+(\([^()]*\))?$/.test(rule.value) ? rule.value : `(${rule.value})`;
  return `d ${value} / d ${rule.arguments[slot]} = ${rule.partials[slot]}`;
}
