/** The page of a network: an example goes through it, and it learns. */

import {address, fillSelect, get, keys, make, numberIn, theme} from "./elements.js";
import {Network, derivative} from "./network.js";
import {Matrices, Units, digits, indexed, isSmall, weightName} from "./network-picture.js";
import {lossCurve, write} from "./picture.js";
import {factor, refusal, short} from "./words.js";

/** @param {any} data */
export function start(data) {
  const page = new NetworkPage(data);
  page.update();
  return page;
}

const GRID = 60; // points of the plane along each side

class NetworkPage {
  /** @param {any} data */
  constructor(data) {
    const network = new Network(data);
    this.network = network;
    /** @type {number | undefined} */
    this.timer = undefined;
    this.chosen = {l: network.sizes.length - 1, j: 1};
    write(get("title"), data.title);
    this.small = isSmall(network);
    this.picture = this.small
      ? new Units(network, (l, j) => this.change(() => (this.chosen = {l, j})))
      : new Matrices(network);
    get("picture").append(this.picture.svg);
    write(get("legend"), this.small
      ? "Above: activation a; below: δ = d cost / d z, both of this example. A wire is a weight: blue"
        + " and solid where positive, orange and dashed where negative, thicker where larger."
      : "Each matrix as cells: the stronger the colour, the larger; blue is positive, orange with a dash negative."
        + " Column 0 of Θ is the bias.");
    theme();
    this.#choices();
    if (network.sizes[0] === 2) this.#bounds();
    this.save = address(() => this.encode(), (fragment) => {
      const found = new URLSearchParams(fragment);
      const example = Number(found.get("example"));
      if (Number.isInteger(example) && example in network.X) network.example = example;
      const [l, j] = (found.get("unit") ?? "").split(",").map(Number);
      if (l in network.sizes && j >= 1 && j <= network.sizes[l]) this.chosen = {l, j};
      this.update();
    });
  }

  encode() {
    return `example=${this.network.example}&unit=${this.chosen.l},${this.chosen.j}`;
  }

  /** @param {() => void} action */
  change(action) {
    action();
    this.update();
    this.save();
  }

  #choices() {
    const {network} = this;
    fillSelect(get("example"), network.X.map((_, i) => [i, `${i + 1} of ${network.X.length}`]));
    const count = network.X.length;
    const batches = [...new Set([1, 10, count])].filter((size) => size <= count);
    fillSelect(get("batch"), batches.map((size) => [size, size === count ? `all ${size}` : `${size}`]));
    get("batch").value = String(batches.includes(10) ? 10 : count);
    fillSelect(get("layer"), network.sizes.map((_, l) => [l, String(l + 1)]));
    fillSelect(get("matrix"), network.thetas.map((theta, l) =>
      [l, `Θ⁽${digits(l + 1, "⁰¹²³⁴⁵⁶⁷⁸⁹")}⁾, ${theta.length} × ${theta[0].length}`]));
    const move = (/** @type {number} */ by) => () =>
      this.change(() => (network.example = (network.example + by + count) % count));
    get("back").addEventListener("click", move(-1));
    get("forth").addEventListener("click", move(1));
    get("example").addEventListener("change", () =>
      this.change(() => (network.example = Number(get("example").value))));
    get("layer").addEventListener("change", () =>
      this.change(() => (this.chosen = {l: Number(get("layer").value), j: 1})));
    get("unit").addEventListener("change", () =>
      this.change(() => (this.chosen = {...this.chosen, j: Number(get("unit").value)})));
    get("one").addEventListener("click", () => this.#train((rate) => {
      network.step([network.example], rate);
      network.losses.push(network.meanCost());
    }));
    const epoch = () =>
      this.#train((rate) => network.epoch(Number(get("batch").value), rate));
    get("epoch").addEventListener("click", epoch);
    get("run").addEventListener("click", () => this.run());
    get("reset").addEventListener("click", () => this.change(() => network.reset()));
    for (const id of ["all", "matrix"]) get(id).addEventListener("input", () => this.update());
    get("all").addEventListener("toggle", () => this.update());
    get("theme").addEventListener("change", () => this.update());
    keys({ArrowRight: move(1), ArrowLeft: move(-1), Space: () => this.run()});
  }

  /** @param {(rate: number) => void} action */
  #train(action) {
    const rate = numberIn(get("rate"));
    write(get("refused-rate"), rate === null ? refusal(get("rate").value) : "");
    if (rate !== null) this.change(() => action(rate));
    else if (this.timer !== undefined) this.run();
  }

  run() {
    const running = this.timer !== undefined;
    window.clearInterval(this.timer);
    this.timer = running ? undefined : window.setInterval(() => get("epoch").click(), 60);
    write(get("run"), running ? "Run" : "Pause");
    get("run").setAttribute("aria-pressed", String(!running));
  }

  // --- one unit ----------------------------------------------------------------------------------

  /** @param {import('./network.js').Pass} pass */
  #about(pass) {
    const {network, chosen: {l, j}} = this;
    const lines = [];
    const a = pass.a[l][j - 1];
    if (l === 0) {
      lines.push(`${indexed("a", 1, j)} = ${short(a)}, input ${j} of this example`);
    } else {
      const row = network.thetas[l - 1][j - 1];
      const z = pass.z[l - 1][j - 1];
      const g = network.activations[l - 1];
      lines.push(`${indexed("z", l + 1, j)} = `
        + [weightName(l, j, 0), ...row.slice(1).map((_, k) =>
          `${weightName(l, j, k + 1)} ${indexed("a", l, k + 1)}`)].slice(0, 9).join(" + ")
        + (row.length > 9 ? " + …" : ""));
      lines.push(`= ${[short(row[0]), ...row.slice(1).map((w, k) =>
        `${factor(w)} × ${factor(pass.a[l - 1][k])}`)].slice(0, 9).join(" + ")}`
        + `${row.length > 9 ? " + …" : ""} = ${short(z)}`);
      lines.push(g === "linear" ? `${indexed("a", l + 1, j)} = z = ${short(a)}`
        : `${indexed("a", l + 1, j)} = ${g}(${short(z)}) = ${short(a)}`);
      lines.push(...this.#delta(pass));
      const first = pass.a[l - 1][0];
      const d = pass.delta[l - 1][j - 1];
      lines.push(`d cost / d ${weightName(l, j, 1)} = ${indexed("δ", l + 1, j)} `
        + `${indexed("a", l, 1)} = ${factor(d)} × ${factor(first)} = ${short(d * first)}`);
      lines.push(`d cost / d ${weightName(l, j, 0)} = ${indexed("δ", l + 1, j)} = ${short(d)}`);
    }
    get("about").replaceChildren(...lines.map((line) => make("p", {class: "number"}, line)));
  }

  /** The delta of the chosen unit: of a hidden one by B5, of an output by the loss.
   * @param {import('./network.js').Pass} pass @returns {string[]} */
  #delta(pass) {
    const {network, chosen: {l, j}} = this;
    const g = network.activations[l - 1];
    const [z, a, d] = [pass.z[l - 1][j - 1], pass.a[l][j - 1], pass.delta[l - 1][j - 1]];
    const name = indexed("δ", l + 1, j);
    const output = l === network.sizes.length - 1;
    if (g === "softmax") {
      return [`${name} = Σ d cost / d a × d a / d ${indexed("z", l + 1, j)}, over all outputs, = ${short(d)}`];
    }
    const slope = derivative(g, z, a);
    if (output) {
      const cost = pass.slopes[j - 1];
      const through = g === "linear" ? "" : ` × g'(z) = ${factor(cost)} × ${factor(slope)}`;
      return [`${name} = d cost / d ${indexed("a", l + 1, j)}${through} = ${short(d)}`
        + (network.loss === "logistic" || network.loss === "cross_entropy"
          ? ", that is prediction − target" : "")];
    }
    const theta = network.thetas[l];
    const next = pass.delta[l];
    const terms = theta.map((row, k) => `${factor(row[j])} × ${factor(next[k])}`);
    const symbols = theta.map((_, k) => `${weightName(l + 1, k + 1, j)} ${indexed("δ", l + 2, k + 1)}`);
    const cut = (/** @type {string[]} */ parts) =>
      parts.slice(0, 8).join(" + ") + (parts.length > 8 ? " + …" : "");
    return [
      `${name} = (${cut(symbols)}) × g'(${indexed("z", l + 1, j)})`,
      `= (${cut(terms)}) × ${factor(slope)} = ${short(d)}`,
    ];
  }

  // --- the plane ---------------------------------------------------------------------------------

  #bounds() {
    const {X} = this.network;
    get("bounded").hidden = false;
    this.low = [0, 1].map((i) => Math.min(...X.map((x) => x[i])));
    this.high = [0, 1].map((i) => Math.max(...X.map((x) => x[i])));
    for (const i of [0, 1]) {
      const margin = 0.15 * (this.high[i] - this.low[i] || 1);
      this.low[i] -= margin;
      this.high[i] += margin;
    }
  }

  /** What one output says of each point: from -1 to 1, where 0 is undecided. @param {number[]} x */
  #verdict(x) {
    const {network} = this;
    const outputs = /** @type {number[]} */ (network.forward(x).a.at(-1));
    const found = network.prediction(outputs);
    if (found.length > 1) return found[1] - found[0];
    const middle = ["sigmoid"].includes(network.activations.at(-1) ?? "") || network.loss === "logistic";
    return middle ? 2 * found[0] - 1 : Math.max(-1, Math.min(1, found[0]));
  }

  #showPlane() {
    const {network, low, high} = this;
    if (!low || !high) return;
    const canvas = get("boundary");
    const context = canvas.getContext("2d");
    if (!context) return;
    const style = getComputedStyle(document.documentElement);
    const [plus, minus, paper, ink] = ["--plus", "--minus", "--paper", "--ink"]
      .map((name) => style.getPropertyValue(name).trim());
    const [w, h] = [canvas.width / GRID, canvas.height / GRID];
    context.globalAlpha = 1;
    context.fillStyle = paper;
    context.fillRect(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < GRID; i++) {
      for (let k = 0; k < GRID; k++) {
        const said = this.#verdict([low[0] + ((i + 0.5) / GRID) * (high[0] - low[0]),
          high[1] - ((k + 0.5) / GRID) * (high[1] - low[1])]);
        if (Number.isNaN(said)) continue;
        context.fillStyle = said > 0 ? plus : minus;
        context.globalAlpha = 0.12 + 0.5 * Math.abs(said);
        context.fillRect(i * w, k * h, w, h);
      }
    }
    context.globalAlpha = 1;
    let right = 0;
    network.X.forEach((x, i) => {
      const y = network.Y[i];
      const up = (y.length > 1 ? y[1] > y[0] : y[0] > (network.loss === "hinge" ? 0 : 0.5));
      const said = this.#verdict(x);
      if (up ? said > 0 : said < 0) right += 1; // neither nan nor a tie is on a side
      const [px, py] = [((x[0] - low[0]) / (high[0] - low[0])) * canvas.width,
        ((high[1] - x[1]) / (high[1] - low[1])) * canvas.height];
      const size = i === network.example ? 7 : 4;
      context.fillStyle = up ? plus : minus;
      context.strokeStyle = i === network.example ? ink : paper;
      context.lineWidth = i === network.example ? 3 : 1;
      context.beginPath();
      if (up) context.arc(px, py, size, 0, 2 * Math.PI);
      else context.rect(px - size, py - size, 2 * size, 2 * size);
      context.fill();
      context.stroke();
    });
    const text = `${right} of ${network.X.length} examples are on the right side. Round: target 1;`
      + " square: target 0 or −1. The large one is this example.";
    write(get("key"), text);
    canvas.setAttribute("aria-label", `The plane of the two inputs, shaded by the output. ${text}`);
  }

  // --- everything --------------------------------------------------------------------------------

  /** @param {import('./network.js').Pass} pass */
  #table(pass) {
    if (!get("all").open) return;
    const l = Number(get("matrix").value);
    const theta = this.network.thetas[l];
    const slopes = this.network.gradient(pass)[l];
    const units = Math.min(theta.length, 40);
    get("theta-head").replaceChildren(make("tr", {}, ...["weight", "number", "gradient"].map((text) =>
      make("th", {scope: "col"}, text))));
    const rows = [];
    for (let j = 0; j < units; j++) {
      for (let k = 0; k < Math.min(theta[j].length, 40); k++) {
        rows.push(make("tr", {}, make("th", {scope: "row"}, weightName(l + 1, j + 1, k)),
          make("td", {class: "value number"}, short(theta[j][k])),
          make("td", {class: "flow number"}, short(slopes[j][k]))));
      }
    }
    get("theta").replaceChildren(...rows);
  }

  update() {
    const {network, chosen} = this;
    const pass = network.pass(network.example);
    this.picture.show(pass, chosen);
    const outputs = /** @type {number[]} */ (pass.a.at(-1));
    const found = network.prediction(outputs);
    const target = network.Y[network.example];
    const one = network.loss === "cross_entropy" && target.length === 1;
    const best = found.indexOf(Math.max(...found));
    const prediction = one && found.length > 4
      ? (best < 0 ? "nan" : `class ${best} with ${short(found[best])}`)
      : found.map(short).join(", ");
    write(get("outcome"), `prediction ${prediction}; target ${one ? "class " : ""}`
      + `${target.map(short).join(", ")}; cost ${short(pass.cost)}`);
    const lost = network.thetas.flat(2).some((weight) => !Number.isFinite(weight));
    const meant = one ? "Classes count from 0; the prediction is the probability of each."
      : `The cost is ${network.loss.replaceAll("_", " ")}.`;
    write(get("told"), lost ? "Weights have become infinite or nan: reset them, and take a smaller rate."
      : meant);
    get("example").value = String(network.example);
    get("layer").value = String(chosen.l);
    const units = Array.from({length: network.sizes[chosen.l]}, (_, j) =>
      /** @type {[number, string]} */ ([j + 1, String(j + 1)]));
    if (get("unit").options.length !== units.length) fillSelect(get("unit"), units);
    get("unit").value = String(chosen.j);
    write(get("epochs"), `${network.epochs} epoch${network.epochs === 1 ? "" : "s"}`);
    this.#about(pass);
    this.#table(pass);
    this.#showPlane();
    const {losses} = network;
    get("losses").replaceChildren(...(losses.length > 1 ? [lossCurve(losses, "mean cost")] : []));
    write(get("fallen"), losses.length > 1
      ? `from ${short(losses[0])} to ${short(losses[losses.length - 1])}`
      : `${short(losses[0])} before any training`);
  }
}
