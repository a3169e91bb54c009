/** The picture of a graph: boxes and wires where Graphviz put them, with numbers that change. */

import {short} from "./words.js";

/**
 * @typedef {import('./graph.js').Graph} Graph
 *
 * @typedef {object} Box   of a node, or of a fold, which shows the numbers of its only output
 * @property {number | null} node
 * @property {number[]} place     centre x and y, width, height, width of the part with numbers
 * @property {string} [op]        what is folded
 * @property {number} [view]      the picture of what is inside
 * @property {number[]} [inside]
 *
 * @typedef {object} View
 * @property {string} title
 * @property {number | null} parent
 * @property {number} width
 * @property {number} height
 * @property {Box[]} boxes
 * @property {{links: [number, number][], plain: boolean, points: number[], tip: number[],
 *   label: number[]}[]} wires     the operands behind each, as head and slot
 */

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 12;
const LEAST = 0.85; // how far a picture shrinks where there is little room: 13 px become 11

/**
 * @param {string} tag @param {Record<string, string | number>} attributes
 * @param {Element} [parent] @param {string} [text]
 * @returns {SVGElement}
 */
export function draw(tag, attributes, parent, text) {
  const element = /** @type {SVGElement} */ (document.createElementNS(SVG, tag));
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

/** Change a text only where it differs, which is cheap. @param {Element} element
 * @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Make a text fit into a width, by squeezing it. @param {SVGElement} element
 * @param {string} text @param {number} room @param {number} size */
function fit(element, text, room, size) {
  if (element.textContent === text) return;
  element.textContent = text;
  element.removeAttribute("textLength");
  if (text.length * size * 0.5 < room) return; // not worth measuring
  squeeze(element, room, lengthOf(element));
}

/** @param {SVGElement} element */
function lengthOf(element) {
  return /** @type {SVGTextElement} */ (element).getComputedTextLength();
}

/** @param {SVGElement} element @param {number} room @param {number} length */
function squeeze(element, room, length) {
  if (length <= room) return;
  element.setAttribute("textLength", String(room));
  element.setAttribute("lengthAdjust", "spacingAndGlyphs");
}

/** @typedef {[number, number, number, number]} Sight   left, top, right, bottom */

/** @param {Sight} sight @param {number} x @param {number} y */
function inside([left, top, right, bottom], x, y) {
  return x >= left && x <= right && y >= top && y <= bottom;
}

export class Picture {
  /** @param {Graph} graph @param {View} places */
  constructor(graph, places) {
    this.graph = graph;
    this.named = false;
    const [width, height] = [places.width + 2 * MARGIN, places.height + 2 * MARGIN];
    this.width = width;
    this.svg = draw("svg", {viewBox: `0 0 ${width} ${height}`, role: "group",
      "aria-label": "nodes of the graph"});
    // As wide as there is room, but never larger than life, nor too small to be read.
    this.svg.style.width = `clamp(${LEAST * width}px, 100%, ${width}px)`;
    const body = draw("g", {transform: `translate(${MARGIN} ${MARGIN})`}, this.svg);
    this.wires = places.wires.map((wire) => this.#wire(wire, body));
    this.boxes = places.boxes.map((box) => this.#box(box, body));
  }

  /** @param {View["wires"][0]} wire @param {Element} body */
  #wire(wire, body) {
    const group = draw("g", {class: "link", "aria-hidden": "true"}, body);
    const p = wire.points;
    const curve = [];
    for (let i = 2; i < p.length; i += 6) curve.push(`C${p.slice(i, i + 6).join(" ")}`);
    draw("path", {d: `M${p[0]} ${p[1]}${curve.join("")}`}, group);
    const [x, y] = p.slice(-2);
    const [dx, dy] = [wire.tip[0] - x, wire.tip[1] - y];
    const corners = [x - 0.45 * dy, y + 0.45 * dx, ...wire.tip, x + 0.45 * dy, y - 0.45 * dx];
    draw("polygon", {points: corners.map((c) => c.toFixed(1)).join(" ")}, group);
    const back = draw("rect", {y: wire.label[1] - 7.5, height: 15, rx: 7}, group);
    const text = draw("text", {x: wire.label[0], y: wire.label[1] + 4, "text-anchor": "middle"},
      group, "");
    return {group, back, text, x: wire.label[0], y: wire.label[1], links: wire.links, plain: wire.plain};
  }

  /** @param {Box} box @param {Element} body */
  #box({node: k, place: [x, y, width, height, wire], op: folded, view, inside: members}, body) {
    const node = k === null ? null : this.graph.nodes[k];
    const kind = view !== undefined ? " fold" : node?.row === null ? " leaf" : "";
    const base = `box${kind}${k === this.graph.root ? " root" : ""}`;
    const group = draw("g", {class: base, tabindex: 0, role: "button"}, body);
    const [left, top, split] = [x - width / 2, y - height / 2, x + width / 2 - wire];
    draw("rect", {class: "back", x: left, y: top, width, height, rx: 7}, group);
    draw("rect", {class: "wire", x: split, y: top + 1.5, width: wire - 1.5, height: height - 3,
      rx: 6}, group);
    draw("line", {x1: split, y1: top, x2: split, y2: top + height}, group);
    draw("line", {x1: split, y1: y, x2: x + width / 2, y2: y}, group);
    const middle = (left + split) / 2;
    const what = folded ?? node?.op ?? "";
    const called = folded === undefined ? node?.label ?? "" : "";
    const both = what !== "" && called !== "";
    const room = split - left - 8;
    const hidden = {"text-anchor": "middle", "aria-hidden": "true"}; // the box has a name
    const op = draw("text", {class: "op", x: middle, y: both ? y - 4 : y + 5, ...hidden}, group);
    const label = draw("text", {class: "label", x: middle, y: both ? y + 15 : y + 5, ...hidden},
      group);
    const at = {x: split + wire / 2, ...hidden};
    for (const line of [op, label]) line.after(" "); // apart also to those who read, not look
    const data = draw("text", {class: "data", y: y - 7, ...at}, group);
    data.after(" ");
    const grad = draw("text", {class: "grad", y: y + 17, ...at}, group);
    const holds = new Set(members ?? (k === null ? [] : [k]));
    return {group, op, label, data, grad, x, y, k, view, base, holds, what, called, said: "",
      room: wire - 10, gate: room};
  }

  /**
   * Show a moment.
   *
   * @param {import('./graph.js').Pass} pass @param {import('./explorer.js').Frame} frame
   * @param {number | null} selected @param {Set<string>} onPath  wires, as "head:slot"
   * @param {"reverse" | "forward"} mode
   * @param {(k: number) => boolean} hidden  whether the flow of a node is asked for
   * @param {(head: number, slot: number) => boolean} hiddenLocal
   * @param {Sight | null} sight  all that is in sight, where the rest may wait
   */
  show(pass, frame, selected, onPath, mode, hidden, hiddenLocal, sight) {
    const flowing = frame.step?.link ?? null;
    for (const wire of this.wires) {
      if (sight && !inside(sight, wire.x, wire.y)) continue;
      const links = wire.links.flatMap(([head, slot]) =>
        pass.links[head].filter((link) => link.slot === slot));
      const now = wire.links.some(([head, slot]) => flowing?.node === head && flowing.slot === slot);
      const marked = wire.links.some(([head, slot]) => onPath.has(`${head}:${slot}`));
      const classes = `link${links.length ? "" : " unused"}${marked ? " on-path" : ""}`
        + (now ? " now" : "");
      if (wire.group.getAttribute("class") !== classes) wire.group.setAttribute("class", classes);
      const known = wire.plain && links.length === 1 && frame.locals;
      let text = known ? short(links[0].partial) : "";
      if (known && hiddenLocal(links[0].node, links[0].slot)) text = "?";
      if (wire.text.textContent !== text) {
        wire.text.textContent = text;
        const half = text ? text.length * 3.7 + 3 : 0;
        wire.back.setAttribute("x", String(wire.x - half));
        wire.back.setAttribute("width", String(2 * half));
      }
    }
    if (!this.named) this.#names();
    const word = mode === "reverse" ? "gradient" : "tangent";
    for (const box of this.boxes) {
      if (sight && !inside(sight, box.x, box.y)) continue;
      const {k} = box;
      const now = frame.step !== null && box.holds.has(frame.step.node);
      const pressed = selected !== null && box.holds.has(selected);
      const classes = box.base + (now ? ` now${frame.step?.kind === "value" ? " by-value" : ""}` : "")
        + (pressed ? " selected" : "");
      if (box.group.getAttribute("class") !== classes) box.group.setAttribute("class", classes);
      const [value, flow] = k === null ? [null, null] : [frame.values[k], frame.flows[k]];
      const data = value === null ? "" : short(value);
      const grad = k === null ? "" : hidden(k) ? "?" : flow === null ? "–" : short(flow);
      const seen = [box.what, box.called, data, grad].filter(Boolean).join(" ");
      if (box.said === `${seen} ${pressed}`) continue;
      box.said = `${seen} ${pressed}`;
      fit(box.data, data, box.room, 13);
      fit(box.grad, grad, box.room, 13);
      // A name begins with what can be seen, so that it can be spoken to as well.
      if (box.view === undefined) box.group.setAttribute("aria-pressed", String(pressed));
      const rest = box.view === undefined && k !== null
        ? `${this.graph.nodes[k].name}, value, ${word}` : "folded: press to open";
      box.group.setAttribute("aria-label", `${seen} (${rest})`);
    }
  }

  /** What boxes are, which never changes: once the picture stands in the page, to be measured. */
  #names() {
    this.named = true;
    const lines = this.boxes.flatMap((box) => [box.op, box.label]);
    this.boxes.forEach((box) => {
      box.op.textContent = box.what;
      box.label.textContent = box.called;
    });
    const lengths = lines.map(lengthOf); // all at once: each change would cost a layout
    lines.forEach((line, i) => squeeze(line, this.boxes[i >> 1].gate, lengths[i]));
  }

  /** What can be seen of the picture, and a little around it. @param {Element} scroller
   * @returns {Sight} */
  sight(scroller) {
    const scale = this.width / this.svg.getBoundingClientRect().width;
    const [left, top] = [scale * scroller.scrollLeft - 150, scale * scroller.scrollTop - 100];
    return [left, top, left + scale * scroller.clientWidth + 300,
      top + scale * scroller.clientHeight + 200];
  }

  /** Bring a box into sight. @param {number} k @param {Element} scroller */
  reveal(k, scroller) {
    const found = this.boxes.find(({holds}) => holds.has(k));
    if (!found) return;
    const box = found.group.getBoundingClientRect();
    const view = scroller.getBoundingClientRect();
    if (box.left < view.left) scroller.scrollLeft += box.left - view.left - 20;
    if (box.right > view.right) scroller.scrollLeft += box.right - view.right + 20;
    if (box.top < view.top) scroller.scrollTop += box.top - view.top - 20;
    if (box.bottom > view.bottom) scroller.scrollTop += box.bottom - view.bottom + 20;
  }
}

/**
 * A curve of some losses.
 *
 * @param {number[]} losses @param {string} name @returns {SVGElement}
 */
export function lossCurve(losses, name) {
  const [width, height, left, bottom] = [340, 150, 58, 22];
  const finite = losses.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const span = high - low || 1;
  const said = `${name} after ${losses.length - 1} steps: from ${short(losses[0])} to `
    + short(losses[losses.length - 1]);
  const svg = draw("svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": said});
  const x = (/** @type {number} */ i) =>
    left + ((width - left - 8) * i) / Math.max(1, losses.length - 1);
  const y = (/** @type {number} */ loss) => 10 + ((height - bottom - 20) * (high - loss)) / span;
  draw("line", {class: "axis", x1: left, y1: height - bottom, x2: width - 8, y2: height - bottom}, svg);
  draw("line", {class: "axis", x1: left, y1: 6, x2: left, y2: height - bottom}, svg);
  if (!finite.length) return svg;
  draw("text", {class: "tick", x: left - 5, y: y(high) + 4, "text-anchor": "end"}, svg, short(high));
  if (high > low) {
    draw("text", {class: "tick", x: left - 5, y: y(low) + 4, "text-anchor": "end"}, svg, short(low));
  }
  draw("text", {class: "tick", x: width - 8, y: height - 7, "text-anchor": "end"}, svg,
    `step ${losses.length - 1}`);
  const points = losses.flatMap((loss, i) =>
    Number.isFinite(loss) ? [`${x(i).toFixed(1)},${y(loss).toFixed(1)}`] : []);
  draw("polyline", {class: "curve", points: points.join(" ")}, svg);
  const [cx, cy] = points[points.length - 1].split(",");
  draw("circle", {cx, cy, r: 3.5, class: "curve"}, svg);
  return svg;
}
