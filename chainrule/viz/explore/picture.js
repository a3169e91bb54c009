/** The picture of a graph: boxes and wires where Graphviz put them, with numbers that change. */

import {short} from "./words.js";

/**
 * @typedef {import('./graph.js').Graph} Graph
 *
 * @typedef {object} Places
 * @property {number} width
 * @property {number} height
 * @property {number[][]} boxes   centre x and y, width, height, width of the part with numbers
 * @property {{head: number, slot: number, points: number[], tip: number[], label: number[]}[]} wires
 */

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 12;

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
  const line = /** @type {SVGTextElement} */ (element);
  const length = line.getComputedTextLength() || text.length * size * 0.55;
  if (length > room) {
    element.setAttribute("textLength", String(room));
    element.setAttribute("lengthAdjust", "spacingAndGlyphs");
  }
}

/** @typedef {[number, number, number, number]} Sight   left, top, right, bottom */

/** @param {Sight} sight @param {number} x @param {number} y */
function inside([left, top, right, bottom], x, y) {
  return x >= left && x <= right && y >= top && y <= bottom;
}

export class Picture {
  /** @param {Graph} graph @param {Places} places */
  constructor(graph, places) {
    this.graph = graph;
    this.named = false;
    const [width, height] = [places.width + 2 * MARGIN, places.height + 2 * MARGIN];
    this.svg = draw("svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "group",
      "aria-label": "nodes of the graph"});
    const body = draw("g", {transform: `translate(${MARGIN} ${MARGIN})`}, this.svg);
    this.wires = places.wires.map((wire) => this.#wire(wire, body));
    this.boxes = places.boxes.map((box, k) => this.#box(box, k, body));
  }

  /** @param {Places["wires"][0]} wire @param {Element} body */
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
    return {group, back, text, x: wire.label[0], y: wire.label[1], head: wire.head, slot: wire.slot};
  }

  /** @param {number[]} place @param {number} k @param {Element} body */
  #box([x, y, width, height, wire], k, body) {
    const node = this.graph.nodes[k];
    const kind = node.row === null ? " leaf" : "";
    const group = draw("g", {class: `box${kind}${k === this.graph.root ? " root" : ""}`,
      tabindex: 0, role: "button", "aria-pressed": "false"}, body);
    const [left, top, split] = [x - width / 2, y - height / 2, x + width / 2 - wire];
    draw("rect", {class: "back", x: left, y: top, width, height, rx: 7}, group);
    draw("rect", {class: "wire", x: split, y: top + 1.5, width: wire - 1.5, height: height - 3,
      rx: 6}, group);
    draw("line", {x1: split, y1: top, x2: split, y2: top + height}, group);
    draw("line", {x1: split, y1: y, x2: x + width / 2, y2: y}, group);
    const middle = (left + split) / 2;
    const both = node.op !== "" && node.label !== "";
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
    return {group, op, label, data, grad, x, y, room: wire - 10, gate: room};
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
      const link = pass.links[wire.head].find(({slot}) => slot === wire.slot);
      const key = `${wire.head}:${wire.slot}`;
      const now = flowing?.node === wire.head && flowing.slot === wire.slot;
      const used = link !== undefined;
      const classes = `link${used ? "" : " unused"}${onPath.has(key) ? " on-path" : ""}`
        + (now ? " now" : "");
      if (wire.group.getAttribute("class") !== classes) wire.group.setAttribute("class", classes);
      let text = used && frame.locals ? short(link.partial) : "";
      if (text && hiddenLocal(wire.head, wire.slot)) text = "?";
      if (wire.text.textContent !== text) {
        wire.text.textContent = text;
        const half = text ? text.length * 3.7 + 3 : 0;
        wire.back.setAttribute("x", String(wire.x - half));
        wire.back.setAttribute("width", String(2 * half));
      }
    }
    if (!this.named) this.#names();
    const word = mode === "reverse" ? "gradient" : "tangent";
    this.boxes.forEach((box, k) => {
      if (sight && !inside(sight, box.x, box.y)) return;
      const [value, flow] = [frame.values[k], frame.flows[k]];
      const node = this.graph.nodes[k];
      const now = frame.step?.node === k;
      const kind = node.row === null ? " leaf" : "";
      const classes = `box${kind}${k === this.graph.root ? " root" : ""}`
        + (now ? ` now${frame.step?.kind === "value" ? " by-value" : ""}` : "")
        + (k === selected ? " selected" : "");
      if (box.group.getAttribute("class") !== classes) box.group.setAttribute("class", classes);
      const data = value === null ? "" : short(value);
      const grad = hidden(k) ? "?" : flow === null ? "–" : short(flow);
      if (box.data.textContent === data && box.grad.textContent === grad
        && box.group.getAttribute("aria-pressed") === String(k === selected)) return;
      fit(box.data, data, box.room, 13);
      fit(box.grad, grad, box.room, 13);
      box.group.setAttribute("aria-pressed", String(k === selected));
      // A name begins with what can be seen, so that it can be spoken to as well.
      const seen = [node.op, node.label, data, grad].filter(Boolean).join(" ");
      box.group.setAttribute("aria-label", `${seen} (${node.name}, value, ${word})`);
    });
  }

  /** What boxes are, which never changes: once the picture stands in the page, to be measured. */
  #names() {
    this.named = true;
    this.boxes.forEach((box, k) => {
      fit(box.op, this.graph.nodes[k].op, box.gate, 15);
      fit(box.label, this.graph.nodes[k].label, box.gate, 13);
    });
  }

  /** What can be seen of the picture, and a little around it. @param {Element} scroller
   * @returns {Sight} */
  sight(scroller) {
    const [left, top] = [scroller.scrollLeft - 150, scroller.scrollTop - 100];
    return [left, top, left + scroller.clientWidth + 300, top + scroller.clientHeight + 200];
  }

  /** Bring a box into sight. @param {number} k @param {Element} scroller */
  reveal(k, scroller) {
    const box = this.boxes[k].group.getBoundingClientRect();
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
