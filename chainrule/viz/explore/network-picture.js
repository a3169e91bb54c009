/** The picture of a network: its units and weights, or, where there are many, its matrices. */

import {draw, write} from "./picture.js";
import {short} from "./words.js";

/**
 * @typedef {import('./network.js').Network} Network
 * @typedef {import('./network.js').Pass} Pass
 */

const MOST_UNITS = 12; // of a layer that is drawn unit by unit
const [RADIUS, PITCH_X, PITCH_Y] = [36, 200, 86];

/** Whether a network is small enough to be drawn unit by unit. @param {Network} network */
export function isSmall(network) {
  return Math.max(...network.sizes) <= MOST_UNITS;
}

/** Name a number of layer l, unit j, both counted from 1, as the notes do.
 * @param {string} letter @param {number} l @param {number} j */
export function indexed(letter, l, j) {
  return `${letter}${digits(j, SUBS)}⁽${digits(l, SUPERS)}⁾`;
}

const SUBS = "₀₁₂₃₄₅₆₇₈₉";
const SUPERS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** @param {number} n @param {string} set */
export function digits(n, set = SUBS) {
  return [...String(n)].map((digit) => set[Number(digit)]).join("");
}

/** @param {number} l @param {number} j @param {number} k */
export function weightName(l, j, k) {
  return `Θ${digits(j)}${j > 9 || k > 9 ? "," : ""}${digits(k)}⁽${digits(l, SUPERS)}⁾`;
}

/** A picture of units, which can be chosen. */
export class Units {
  /** @param {Network} network @param {(l: number, j: number) => void} choose */
  constructor(network, choose) {
    const {sizes} = network;
    this.network = network;
    const rows = Math.max(...sizes.map((size, l) => size + (l < sizes.length - 1 ? 1 : 0)));
    const [width, height] = [PITCH_X * (sizes.length - 1) + 2 * RADIUS + 24, PITCH_Y * rows + 34];
    this.svg = draw("svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "group",
      "aria-label": "units of the network"});
    const place = (/** @type {number} */ l, /** @type {number} */ j) => {
      const count = sizes[l] + (l < sizes.length - 1 ? 1 : 0);
      const top = 30 + (PITCH_Y * (rows - count)) / 2;
      const row = l < sizes.length - 1 ? j : j - 1;
      return [RADIUS + 12 + PITCH_X * l, top + PITCH_Y * (row + 0.5)];
    };
    /** @type {{l: number, j: number, k: number, line: SVGElement, title: SVGElement}[]} */
    this.links = [];
    network.thetas.forEach((theta, l) => theta.forEach((row, j) => row.forEach((_, k) => {
      const [[x1, y1], [x2, y2]] = [place(l, k), place(l + 1, j + 1)];
      const group = draw("g", {class: "weight", "aria-hidden": "true"}, this.svg);
      const line = draw("line", {x1, y1, x2, y2}, group);
      this.links.push({l, j, k, line, title: draw("title", {}, group)});
    })));
    sizes.forEach((size, l) => {
      const [x] = place(l, 1);
      draw("text", {x, y: 16, class: "caption", "text-anchor": "middle"}, this.svg, `layer ${l + 1}`);
      if (l < sizes.length - 1) {
        const [bx, by] = place(l, 0);
        const bias = draw("g", {class: "unit bias", "aria-hidden": "true"}, this.svg);
        draw("circle", {cx: bx, cy: by, r: 17}, bias);
        draw("text", {x: bx, y: by + 5, "text-anchor": "middle"}, bias, "+1");
      }
      for (let j = 1; j <= size; j++) this.#unit(l, j, place(l, j), choose);
    });
  }

  /** @type {{l: number, j: number, group: SVGElement, a: SVGElement, delta: SVGElement}[]} */
  units = [];

  /** @param {number} l @param {number} j @param {number[]} place
   * @param {(l: number, j: number) => void} choose */
  #unit(l, j, [x, y], choose) {
    const group = draw("g", {class: "unit", tabindex: 0, role: "button", "aria-pressed": "false"},
      this.svg);
    draw("circle", {cx: x, cy: y, r: RADIUS}, group);
    const at = {x, "text-anchor": "middle", "aria-hidden": "true"};
    const name = draw("text", {class: "name", y: y + 5, ...at}, group, indexed("a", l + 1, j));
    name.after(" ");
    const a = draw("text", {class: "data", y: y - 14, ...at}, group);
    a.after(" ");
    const delta = draw("text", {class: "grad", y: y + 22, ...at}, group);
    group.addEventListener("click", () => choose(l, j));
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      choose(l, j);
    });
    this.units.push({l, j, group, a, delta});
  }

  /** @param {Pass} pass @param {{l: number, j: number}} chosen */
  show(pass, chosen) {
    const {thetas} = this.network;
    const largest = Math.max(1e-300, ...thetas.flat(2).map(Math.abs).filter(Number.isFinite));
    const slopes = this.network.gradient(pass);
    for (const {l, j, k, line, title} of this.links) {
      const w = thetas[l][j][k];
      line.setAttribute("class", w > 0 ? "plus" : w < 0 ? "minus" : "none");
      line.setAttribute("stroke-width", (0.6 + 5 * Math.min(1, Math.abs(w) / largest)).toFixed(2));
      const touches = (chosen.l === l + 1 && chosen.j === j + 1) || (chosen.l === l && chosen.j === k);
      line.setAttribute("stroke-opacity", touches ? "1" : "0.55");
      write(title, `${weightName(l + 1, j + 1, k)} = ${short(w)}, gradient ${short(slopes[l][j][k])}`);
    }
    for (const {l, j, group, a, delta} of this.units) {
      write(a, short(pass.a[l][j - 1]));
      write(delta, l > 0 ? short(pass.delta[l - 1][j - 1]) : "");
      const now = l === chosen.l && j === chosen.j;
      group.setAttribute("class", `unit${l === 0 ? " input" : ""}${now ? " selected" : ""}`);
      group.setAttribute("aria-pressed", String(now));
      group.setAttribute("aria-label", `${indexed("a", l + 1, j)} ${a.textContent} `
        + `${delta.textContent} (unit ${j} of layer ${l + 1}: activation${l > 0 ? ", delta" : ""})`);
    }
  }
}

/** The matrices of a large network as cells: activations, weights and deltas, layer by layer. */
export class Matrices {
  /** @param {Network} network */
  constructor(network) {
    this.network = network;
    this.svg = document.createElement("div");
    this.svg.className = "matrices";
    this.parts = network.thetas.flatMap((theta, l) => [
      this.#part(`a⁽${digits(l + 1, SUPERS)}⁾`, network.sizes[l], 1),
      this.#part(`Θ⁽${digits(l + 1, SUPERS)}⁾`, theta.length, theta[0].length),
      this.#part(`δ⁽${digits(l + 2, SUPERS)}⁾`, theta.length, 1),
    ]);
    this.parts.push(this.#part(`a⁽${digits(network.sizes.length, SUPERS)}⁾`, network.sizes.at(-1) ?? 0, 1));
  }

  /** @param {string} name @param {number} rows @param {number} columns */
  #part(name, rows, columns) {
    const cell = Math.max(1, Math.min(12, Math.floor(420 / Math.max(rows, columns / 1.5))));
    const figure = document.createElement("figure");
    const canvas = document.createElement("canvas");
    canvas.width = cell * columns;
    canvas.height = cell * rows;
    canvas.setAttribute("role", "img");
    const caption = document.createElement("figcaption");
    figure.append(canvas, caption);
    this.svg.append(figure);
    return {name, rows, columns, cell, canvas, caption};
  }

  /** @param {Pass} pass */
  show(pass) {
    const column = (/** @type {number[]} */ xs) => xs.map((x) => [x]);
    const matrices = this.network.thetas.flatMap((theta, l) =>
      [column(pass.a[l]), theta, column(pass.delta[l])]);
    matrices.push(column(/** @type {number[]} */ (pass.a.at(-1))));
    const style = getComputedStyle(document.documentElement);
    const [plus, minus, paper] =
      ["--plus", "--minus", "--paper"].map((name) => style.getPropertyValue(name).trim());
    this.parts.forEach(({name, rows, columns, cell, canvas, caption}, i) => {
      const context = canvas.getContext("2d");
      const numbers = matrices[i];
      const largest = numbers.flat().reduce((most, x) => Math.max(most, Math.abs(x) || 0), 0);
      const text = `${name}: ${rows} × ${columns}, at most ${short(largest)}`;
      write(caption, text);
      canvas.setAttribute("aria-label", text);
      if (!context) return;
      context.fillStyle = paper;
      context.fillRect(0, 0, canvas.width, canvas.height);
      numbers.forEach((row, j) => row.forEach((x, k) => {
        context.globalAlpha = largest > 0 ? Math.min(1, Math.abs(x) / largest) : 0;
        context.fillStyle = x > 0 ? plus : minus;
        context.fillRect(k * cell, j * cell, cell, cell);
        if (x < 0 && cell >= 5) { // a dash for what is negative, not its colour alone
          context.fillStyle = paper;
          context.fillRect(k * cell + 1, j * cell + cell / 2 - 0.5, cell - 2, 1);
        }
      }));
      context.globalAlpha = 1;
    });
  }
}
