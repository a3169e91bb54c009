/**
 * A network of layers and the algorithm of the course notes: a forward, delta backward, a step of
 * gradient descent.  Every function and every derivative comes from the rows of the table.
 */

import {readNumber} from "./graph.js";
import {ROWS} from "./rows.js";

/**
 * Layers count from 1 in what people read, and from 0 here: a[0] is the input, thetas[l] leads from
 * a[l] to a[l + 1], and z and delta of layer l + 1 stand at l.
 *
 * @typedef {object} Pass   what one example gives
 * @property {number[][]} a
 * @property {number[][]} z
 * @property {number[]} slopes      d cost / d a of the output layer
 * @property {number[][]} delta     d cost / d z
 * @property {number} cost
 */

/** @type {Record<string, string>} rows of the losses that have another name than their function */
const LOSSES = {logistic: "logistic_loss", hinge: "hinge_loss"};

export class Network {
  /** @param {any} data what Python wrote */
  constructor(data) {
    /** @type {number[][][]} rows of a bias and as many weights as inputs */
    this.thetas = data.thetas.map((/** @type {any} */ theta) =>
      theta.map((/** @type {any} */ row) => row.map(readNumber)));
    /** @type {string[]} */
    this.activations = data.activations;
    /** @type {number[][]} */
    this.X = data.X;
    /** @type {number[][]} targets of each example; of cross_entropy the class, or probabilities */
    this.Y = data.Y;
    /** @type {string} */
    this.loss = data.loss;
    this.sizes = [this.thetas[0][0].length - 1, ...this.thetas.map((theta) => theta.length)];
    this.start = this.thetas;
    this.example = 0;
    this.epochs = 0;
    /** @type {number[]} the mean cost after each epoch */
    this.losses = [];
    this.losses.push(this.meanCost());
  }

  /** @param {number[]} input @returns {{a: number[][], z: number[][]}} */
  forward(input) {
    const a = [input];
    /** @type {number[][]} */
    const z = [];
    this.thetas.forEach((theta, l) => {
      const inputs = a[l];
      z.push(theta.map((row) => {
        let sum = row[0];
        for (let k = 0; k < inputs.length; k++) sum += row[k + 1] * inputs[k];
        return sum;
      }));
      a.push(activated(this.activations[l], z[l]));
    });
    return {a, z};
  }

  /** @param {number[]} outputs @param {number[]} y */
  cost(outputs, y) {
    if (this.loss === "cross_entropy") return ROWS[this.#entropy(outputs, y)].value(...y, ...outputs);
    const row = ROWS[LOSSES[this.loss] ?? this.loss];
    return outputs.map((out, k) => row.value(out, y[k])).reduce((sum, c) => sum + c);
  }

  /** @param {number[]} outputs @param {number[]} y */
  #entropy(outputs, y) {
    return y.length === outputs.length ? "soft_cross_entropy" : "cross_entropy";
  }

  /** @param {number[]} outputs @param {number[]} y @returns {number[]} d cost / d output */
  costSlopes(outputs, y) {
    if (this.loss === "cross_entropy") {
      const args = [...y, ...outputs];
      const row = ROWS[this.#entropy(outputs, y)];
      const linked = outputs.map((_, k) => y.length + k);
      return /** @type {any} */ (row.variadic)(args, row.value(...args), linked);
    }
    const row = ROWS[LOSSES[this.loss] ?? this.loss];
    return outputs.map((out, k) =>
      /** @type {any} */ (row.partials)[0](out, y[k], row.value(out, y[k])));
  }

  /** @param {number} i an example @returns {Pass} */
  pass(i) {
    const {a, z} = this.forward(this.X[i]);
    const last = this.thetas.length;
    const slopes = this.costSlopes(a[last], this.Y[i]);
    /** @type {number[][]} */
    const delta = new Array(last);
    for (let l = last - 1; l >= 0; l--) {
      const arriving = l === last - 1 ? slopes : this.arriving(l, delta[l + 1]);
      delta[l] = throughActivation(this.activations[l], z[l], a[l + 1], arriving);
    }
    return {a, z, slopes, delta, cost: this.cost(a[last], this.Y[i])};
  }

  /** What arrives at the activations of a hidden layer: (Theta of the next)^T delta of the next.
   * @param {number} l @param {number[]} delta */
  arriving(l, delta) {
    const theta = this.thetas[l + 1];
    return theta[0].slice(1).map((_, j) => {
      let sum = 0;
      for (let k = theta.length - 1; k >= 0; k--) sum += theta[k][j + 1] * delta[k];
      return sum;
    });
  }

  /** d cost / d Theta of one example: delta times the activations, 1 for the bias.
   * @param {Pass} pass */
  gradient(pass) {
    return pass.delta.map((delta, l) => delta.map((d) => [d, ...pass.a[l].map((a) => d * a)]));
  }

  /** One step of gradient descent on the mean cost of some examples. @param {number[]} examples
   * @param {number} rate */
  step(examples, rate) {
    const sums = this.thetas.map((theta) => theta.map((row) => row.map(() => 0)));
    for (const i of examples) {
      this.gradient(this.pass(i)).forEach((matrix, l) => matrix.forEach((row, j) =>
        row.forEach((g, k) => (sums[l][j][k] += g / examples.length))));
    }
    this.thetas = this.thetas.map((theta, l) => theta.map((row, j) =>
      row.map((w, k) => w - rate * sums[l][j][k])));
  }

  /** Go once through all examples, some at a time, in their order. @param {number} batch
   * @param {number} rate */
  epoch(batch, rate) {
    for (let i = 0; i < this.X.length; i += batch) {
      const end = Math.min(i + batch, this.X.length);
      this.step(Array.from({length: end - i}, (_, k) => i + k), rate);
    }
    this.epochs += 1;
    this.losses.push(this.meanCost());
  }

  meanCost() {
    const costs = this.X.map((x, i) => this.cost(/** @type {any} */ (this.forward(x).a.at(-1)), this.Y[i]));
    return costs.reduce((sum, cost) => sum + cost, 0) / costs.length;
  }

  reset() {
    this.thetas = this.start;
    this.epochs = 0;
    this.losses = [];
    this.losses.push(this.meanCost());
  }

  /** The outputs as a person reads them: probabilities where the loss makes them such.
   * @param {number[]} outputs */
  prediction(outputs) {
    if (this.loss === "logistic") return outputs.map((z) => ROWS.sigmoid.value(z));
    if (this.loss === "cross_entropy") return outputs.map((_, k) => ROWS.softmax.value(k, ...outputs));
    return outputs;
  }
}

/** @param {string} name @param {number[]} z */
function activated(name, z) {
  if (name === "linear") return z;
  if (name === "softmax") return z.map((_, k) => ROWS.softmax.value(k, ...z));
  return z.map((x) => ROWS[name].value(x, ...(name === "leaky_relu" ? [SLOPE] : [])));
}

const SLOPE = 0.01; // of leaky_relu, the default of its row

/** g'(z). @param {string} name @param {number} z @param {number} a */
export function derivative(name, z, a) {
  if (name === "linear") return 1;
  const rest = name === "leaky_relu" ? [SLOPE] : [];
  return /** @type {any} */ (ROWS[name].partials)[0](z, ...rest, a);
}

/** d cost / d z from d cost / d a. @param {string} name @param {number[]} z @param {number[]} a
 * @param {number[]} arriving */
function throughActivation(name, z, a, arriving) {
  if (name === "softmax") {
    const linked = z.map((_, i) => i + 1);
    const rows = a.map((y, k) => /** @type {any} */ (ROWS.softmax.variadic)([k, ...z], y, linked));
    return z.map((_, i) => {
      let sum = 0;
      for (let k = a.length - 1; k >= 0; k--) sum += rows[k][i] * arriving[k];
      return sum;
    });
  }
  return z.map((x, j) => derivative(name, x, a[j]) * arriving[j]);
}
