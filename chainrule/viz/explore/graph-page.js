/** The page of a graph: controls and panels around an Explorer. */

import {address, fillSelect, get, keys, make, numberIn, theme} from "./elements.js";
import {Explorer} from "./explorer.js";
import {pathsToRoot, readGraph} from "./graph.js";
import {Picture, lossCurve, write} from "./picture.js";
import {judge, makeQuestion} from "./quiz.js";
import {exact, factor, formula, reason, refusal, ruleOf, sentence, short, typed} from "./words.js";

/** @typedef {import('./graph.js').Pass} Pass */

/** @param {any} data */
export function start(data) {
  const graph = readGraph(data);
  const page = new GraphPage(graph, data);
  page.update();
  return page;
}

class GraphPage {
  /** @param {import('./graph.js').Graph} graph @param {any} data */
  constructor(graph, data) {
    this.graph = graph;
    this.explorer = new Explorer(graph);
    /** @type {import('./picture.js').View[]} */
    this.views = data.views;
    this.view = 0;
    this.picture = new Picture(graph, this.views[0]);
    /** @type {number | null} the node under the pointer or with the focus */
    this.pointed = null;
    /** @type {number | undefined} */
    this.timer = undefined;
    /** @type {import('./quiz.js').Question | null} */
    this.question = null;
    this.hints = 0;
    this.score = {right: 0, asked: 0};
    /** @type {{sight: import('./picture.js').Sight, rows: [number, number]} | null} what was in
     * sight when a drag began: to measure it at each move would cost a layout */
    this.seen = null;
    write(get("title"), data.title);
    theme();
    this.#choices();
    this.#stepping();
    this.#open(0);
    this.#descent();
    this.#quiz();
    this.leafRows = graph.leaves.map((k) => this.#leafRow(k));
    this.allRows = graph.nodes.map((_, k) => this.#nodeRow(k));
    this.save = address(() => this.encode(), (fragment) => {
      this.explorer.decode(fragment);
      const view = Number(new URLSearchParams(fragment).get("view"));
      this.#open(view in this.views ? view : 0);
      this.update();
    });
  }

  /** The state as the fragment of an address. */
  encode() {
    const view = this.view ? `view=${this.view}` : "";
    return [this.explorer.encode(), view].filter(Boolean).join("&");
  }

  /** @param {number} k */
  name(k) {
    return this.graph.nodes[k].name;
  }

  /**
   * Do something to the state, and show it; during a drag only where it can be seen.
   *
   * @param {() => void} action @param {boolean} dragging
   */
  change(action, dragging = false) {
    action();
    this.update(dragging);
    this.save();
  }

  // --- controls ----------------------------------------------------------------------------------

  #choices() {
    const {graph, explorer} = this;
    const all = graph.nodes.map((node, k) => /** @type {[number, string]} */ ([k, node.name]));
    const leaves = all.filter(([k]) => explorer.place(k) >= 0);
    fillSelect(get("node"), [["", "none"], ...all]);
    fillSelect(get("seed"), leaves);
    fillSelect(get("nudged"), leaves.filter(([k]) => explorer.canChange(k)));
    get("node").addEventListener("change", () => this.change(() => {
      explorer.selected = get("node").value === "" ? null : Number(get("node").value);
      if (explorer.selected !== null) this.#find(explorer.selected);
    }));
    get("jump").addEventListener("click", () => this.change(() => {
      if (explorer.selected === null) return;
      explorer.jump(explorer.selected);
      this.#find(explorer.selected);
    }));
    get("mode").addEventListener("change", () =>
      this.change(() => explorer.setMode(get("mode").value)));
    get("seed").addEventListener("change", () =>
      this.change(() => explorer.setSeed(Number(get("seed").value))));
    for (const id of ["nudged", "h"]) get(id).addEventListener("input", () => this.update());
    get("undo").addEventListener("click", () => this.change(() => explorer.undo()));
    document.addEventListener("keydown", (event) => {
      const target = /** @type {Element} */ (event.target);
      if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey) return;
      if (target.closest("input[type=text]")) return; // there it takes back what was typed
      event.preventDefault();
      if (explorer.history.length) this.change(() => explorer.undo());
    });
    get("reset").addEventListener("click", () => this.change(() => explorer.reset()));
    get("all").addEventListener("toggle", () => this.update());
    for (const scroller of [get("picture"), get("leaves").closest(".scroller")]) {
      scroller.addEventListener("scroll", () => (this.seen = null));
    }
  }

  #stepping() {
    const {explorer} = this;
    const go = (/** @type {() => number} */ where) => () => {
      this.pause();
      this.change(() => explorer.go(where()));
      this.reveal();
    };
    const first = go(() => 0);
    const back = go(() => explorer.position - 1);
    const forth = go(() => explorer.position + 1);
    const last = go(() => explorer.steps.length);
    for (const [id, action] of Object.entries({first, back, forth, last})) {
      get(id).addEventListener("click", action);
    }
    get("scrub").addEventListener("input", go(() => Number(get("scrub").value)));
    get("play").addEventListener("click", () => this.play());
    get("speed").addEventListener("change", () => {
      if (this.timer !== undefined) this.run();
    });
    keys({ArrowRight: forth, ArrowLeft: back, Home: first, End: last, Space: () => this.play()});
  }

  play() {
    if (this.timer !== undefined) return this.pause();
    const {explorer} = this;
    if (explorer.position === explorer.steps.length) this.change(() => explorer.go(0));
    this.run();
  }

  run() {
    const {explorer} = this;
    window.clearInterval(this.timer);
    this.timer = window.setInterval(() => {
      this.change(() => explorer.go(explorer.position + 1));
      this.reveal();
      if (explorer.position === explorer.steps.length) this.pause();
    }, Number(get("speed").value));
    write(get("play"), "Pause");
    get("play").setAttribute("aria-pressed", "true");
  }

  pause() {
    window.clearInterval(this.timer);
    this.timer = undefined;
    write(get("play"), "Play");
    get("play").setAttribute("aria-pressed", "false");
  }

  reveal() {
    const step = this.explorer.steps[this.explorer.position - 1];
    if (step) this.picture.reveal(step.node, get("picture"));
  }

  /** Show another picture: of the whole graph, or of what is inside a fold. @param {number} view */
  #open(view) {
    this.view = view;
    this.pointed = null;
    this.picture = new Picture(this.graph, this.views[view]);
    get("picture").replaceChildren(this.picture.svg);
    get("picture").scrollTo(0, 0);
    const {width, height} = this.views[view];
    document.documentElement.classList.toggle("wide-picture", width > 2 * height);
    this.#boxes();
    const above = [];
    for (let at = this.views[view].parent; at !== null; at = this.views[at].parent) above.unshift(at);
    get("crumbs").replaceChildren(...above.map((at) => {
      const button = make("button", {type: "button"}, at ? this.views[at].title : "whole graph");
      button.addEventListener("click", () => this.change(() => this.#open(at)));
      return button;
    }), ...(above.length ? [make("span", {}, this.views[view].title)] : []));
  }

  /** Open the picture in which a node has a box of its own, unless it has one here.
   * @param {number} k */
  #find(k) {
    const has = (/** @type {import('./picture.js').View} */ view) =>
      view.boxes.some((box) => box.node === k && box.view === undefined);
    const view = this.views.findIndex(has);
    if (!has(this.views[this.view]) && view >= 0) this.#open(view);
  }

  #boxes() {
    this.picture.boxes.forEach(({group, k, view}) => {
      const point = (/** @type {number | null} */ at) => () => {
        this.pointed = at;
        this.update();
      };
      const select = () => this.change(() => {
        if (view !== undefined) {
          this.#open(view);
          get("picture").focus();
        } else {
          this.explorer.selected = this.explorer.selected === k ? null : k;
        }
      });
      group.addEventListener("pointerenter", point(k));
      group.addEventListener("pointerleave", point(null));
      group.addEventListener("focus", point(k));
      group.addEventListener("blur", point(null));
      group.addEventListener("click", select);
      group.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        select();
      });
    });
  }

  // --- leaves ------------------------------------------------------------------------------------

  /** @param {number} k */
  #leafRow(k) {
    const {explorer} = this;
    const name = this.name(k);
    const start = this.graph.nodes[k].data;
    const middle = Number.isFinite(3 * start) ? start : 0; // both ends of the slider are finite
    const span = Math.max(1, 2 * Math.abs(middle));
    const input = make("input", {type: "text", inputmode: "decimal", "aria-label": `number of ${name}`,
      autocomplete: "off", spellcheck: "false"});
    const slider = make("input", {type: "range", min: middle - span, max: middle + span,
      step: span / 200, "aria-label": `drag ${name}`});
    const [was, slope] = [make("td", {class: "number"}), make("td", {class: "flow number"})];
    if (!explorer.canChange(k)) {
      for (const control of [input, slider]) {
        control.disabled = true;
        control.title = "An operation depends on it for which the page has no formula, such as one of your own.";
      }
    }
    let dragging = false;
    slider.addEventListener("input", () => {
      const x = Number(Number(slider.value).toPrecision(6));
      this.change(() => explorer.setLeaf(k, x, !dragging), true);
      dragging = true;
    });
    slider.addEventListener("change", () => {
      dragging = false;
      this.update();
    });
    input.addEventListener("change", () => {
      const x = numberIn(input, true);
      write(get("refused"), x === null
        ? `${refusal(input.value)} ${name} stays ${exact(explorer.leaves[explorer.place(k)])}.` : "");
      if (x === null) return;
      input.value = exact(x);
      this.change(() => explorer.setLeaf(k, x));
    });
    input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Escape") return;
      input.value = exact(explorer.leaves[explorer.place(k)]);
      input.setAttribute("aria-invalid", "false");
      write(get("refused"), "");
    });
    const row = make("tr", {}, make("th", {scope: "row"}, name), make("td", {}, input),
      make("td", {}, slider), was, slope);
    get("leaves").append(row);
    return {row, input, slider, was, slope};
  }

  /** @param {boolean} asking @param {[number, number]} range  the rows that are in sight */
  #showLeaves(asking, [top, bottom]) {
    const {explorer, graph} = this;
    const before = explorer.previous;
    const slopes = explorer.slopes();
    graph.leaves.forEach((k, i) => {
      if (i < top || i > bottom) return;
      const {row, input, slider, was, slope} = this.leafRows[i];
      const x = explorer.leaves[i];
      const old = before?.values[k];
      if (document.activeElement !== input && input.value !== exact(x)) {
        input.value = exact(x);
        input.setAttribute("aria-invalid", "false");
      }
      if (Number(slider.value) !== x) slider.value = String(x);
      const changed = old !== undefined && !Object.is(old, x);
      row.classList.toggle("changed", changed);
      write(was, changed ? short(/** @type {number} */ (old)) : "");
      const found = slopes[k];
      write(slope, asking && this.question?.node === k ? "?" : found === null ? "–" : short(found));
    });
    const root = graph.root;
    write(get("root-name"), this.name(root) === "result" ? "result" : `result ${this.name(root)}`);
    write(get("root-value"), exact(explorer.pass.values[root]));
    const old = before?.values[root];
    write(get("root-before"), old === undefined ? "" : `was ${short(old)}`);
  }

  // --- one node ----------------------------------------------------------------------------------

  /** @param {number} k */
  #nodeRow(k) {
    const cells = [make("td", {class: "value number"}), make("td", {class: "flow number"})];
    const node = this.graph.nodes[k];
    const text = node.row === null ? "leaf" : node.expression;
    get("rows").append(
      make("tr", {}, make("th", {scope: "row"}, node.name), make("td", {}, text), ...cells));
    return cells;
  }

  /** @param {number} k @param {{paths: import('./graph.js').Path[], count: number}} found */
  #about(k, found) {
    const {graph, explorer} = this;
    const {pass} = explorer;
    const node = graph.nodes[k];
    const root = this.name(graph.root);
    const parts = [];
    const value = short(pass.values[k]);
    parts.push(make("p", {class: "number"}, node.row === null || node.partials
      ? `${node.name} = ${value}`
      : `${node.name}${node.name === node.expression ? "" : ` = ${node.expression}`} = `
        + `${formula(graph, pass, k)} = ${value}`));
    for (const link of pass.links[k]) {
      const rule = ruleOf(graph, k, link.slot);
      parts.push(make("p", {class: "number"},
        `local derivative d ${node.term} / d ${graph.nodes[link.from].term} = ${short(link.partial)}`
        + (rule ? `   (${rule})` : "")));
    }
    const slope = explorer.gradient(k);
    if (slope === null) {
      parts.push(make("p", {}, `${root} does not depend on ${node.name} with these numbers.`));
    } else {
      const many = found.count > found.paths.length;
      parts.push(make("p", {class: "number"}, found.count === 1
        ? `One path leads to ${root}; the gradient is the product along it.`
        : `${found.count} paths lead to ${root}${many ? `; the first ${found.paths.length}` : ""}:`));
      const list = make("ul");
      for (const path of found.paths) {
        const way = [node.name, ...path.links.map((link) => this.name(link.node))].join(" → ");
        const written = path.links.length > 1 ? factor : short;
        const product = path.links.map((link) => written(link.partial)).join(" × ") || "1";
        list.append(make("li", {}, `${way}: ${product} = ${short(path.product)}`));
      }
      parts.push(list);
      if (!many && found.count > 1) {
        const sum = found.paths.map((path) => factor(path.product)).join(" + ");
        parts.push(make("p", {class: "number"}, `sum: ${sum} = ${short(slope)}`));
      }
      parts.push(make("p", {class: "number"}, `gradient d ${graph.nodes[graph.root].term} / d ${node.term} = ${short(slope)}`));
    }
    get("about").replaceChildren(...parts);
  }

  // --- nudge, descent ----------------------------------------------------------------------------

  #nudge() {
    const {explorer, graph} = this;
    const k = Number(get("nudged").value);
    const h = numberIn(get("h"));
    if (get("nudged").value === "" || h === null) {
      const says = h === null ? refusal(get("h").value) : "There is no leaf that could be changed.";
      return get("nudge").replaceChildren(make("p", {class: "wrong"}, says));
    }
    const {there, change, predicted, slope} = explorer.nudge(k, h);
    const root = this.name(graph.root);
    const error = Math.abs(change - predicted);
    get("nudge").replaceChildren(
      make("p", {class: "number"}, `${root} goes from ${short(explorer.pass.values[graph.root])} to `
        + `${short(there)}: a change of ${short(change)}`),
      make("p", {class: "number"}, `${graph.nodes[k].term}.grad × h = ${factor(slope)} × ${factor(h)} = `
        + short(predicted)),
      make("p", {class: "reason"}, error === 0 ? "They are equal."
        : error !== error ? "One of them is not a number, so there is nothing to compare."
          : `They differ by ${short(error)}; of a smooth function, by a quarter as much for half the h.`),
    );
  }

  #descent() {
    const {explorer} = this;
    const steps = (/** @type {number} */ n) => () => {
      const rate = numberIn(get("rate"));
      write(get("refused-rate"), rate === null ? refusal(get("rate").value) : "");
      if (rate === null) return;
      this.change(() => {
        for (let i = 0; i < n; i++) explorer.descend(rate);
      });
    };
    get("descend").addEventListener("click", steps(1));
    get("descend10").addEventListener("click", steps(10));
    for (const k of this.graph.leaves.filter((k) => explorer.canChange(k))) {
      const box = make("input", {type: "checkbox"});
      box.checked = true;
      box.addEventListener("change", () => {
        if (box.checked) explorer.kept.delete(k);
        else explorer.kept.add(k);
      });
      get("movable").append(make("label", {}, box, ` ${this.name(k)}`));
    }
  }

  #showDescent() {
    const {losses} = this.explorer;
    const root = this.name(this.graph.root);
    if (losses.length < 2) {
      get("losses").replaceChildren();
      return write(get("fallen"), `Each step takes rate × gradient from every chosen leaf.`);
    }
    get("losses").replaceChildren(lossCurve(losses, root));
    write(get("fallen"), `${root} went from ${short(losses[0])} to `
      + `${short(losses[losses.length - 1])} in ${losses.length - 1} `
      + `step${losses.length === 2 ? "" : "s"}.`);
  }

  // --- quiz --------------------------------------------------------------------------------------

  #quiz() {
    const {explorer} = this;
    get("ask").addEventListener("click", () => {
      this.pause();
      explorer.setMode("reverse");
      this.question = makeQuestion(this.graph, explorer.pass, Math.random());
      this.hints = 0;
      this.score.asked += this.question ? 1 : 0;
      get("verdict").replaceChildren();
      get("answer").value = "";
      this.update();
      if (this.question) get("answer").focus();
      else get("verdict").replaceChildren(make("p", {}, "This graph has nothing to ask about."));
    });
    get("hint").addEventListener("click", () => {
      const hints = this.question?.hints ?? [];
      if (this.hints < hints.length) {
        get("verdict").append(make("p", {}, `Hint: ${hints[this.hints]}`));
        this.hints += 1;
      }
      get("hint").disabled = this.hints >= hints.length;
    });
    get("solve").addEventListener("click", () => this.#answered(this.question?.solution ?? ""));
    get("answering").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      if (!this.question) return;
      const {right, says} = judge(this.question, typed(get("answer").value));
      if (right) {
        this.score.right += 1;
        this.#answered(says);
      } else {
        get("verdict").append(make("p", {class: "wrong"}, `✗ ${says}`));
      }
    });
  }

  /** @param {string} says */
  #answered(says) {
    const right = says.startsWith("Right");
    get("verdict").append(make("p", {class: right ? "right" : ""}, right ? `✓ ${says}` : says));
    if (this.question) this.explorer.selected = this.question.node;
    this.question = null;
    this.update();
    get("ask").focus();
  }

  #showQuiz() {
    const open = this.question !== null;
    write(get("question"), this.question?.text ?? "");
    get("answering").hidden = !open;
    get("solve").disabled = !open;
    if (!open || this.hints === 0) get("hint").disabled = !open;
    const {right, asked} = this.score;
    write(get("score"), asked ? `${right} right of ${asked} asked; this is not stored anywhere.` : "");
  }

  // --- everything --------------------------------------------------------------------------------

  /** The rows of leaves that can be seen. @returns {[number, number]} */
  #rowsInSight() {
    const scroller = get("leaves").closest(".scroller");
    const height = this.leafRows.length ? this.leafRows[0].row.offsetHeight : 1;
    const top = Math.floor(scroller.scrollTop / height) - 2;
    return [top, top + Math.ceil(scroller.clientHeight / height) + 3];
  }

  /** @param {boolean} dragging  whether what is out of sight may wait */
  update(dragging = false) {
    const {explorer, graph, question} = this;
    if (!dragging) this.seen = null;
    else this.seen ??= {sight: this.picture.sight(get("picture")), rows: this.#rowsInSight()};
    const {sight, rows} = this.seen
      ?? {sight: null, rows: /** @type {[number, number]} */ ([0, graph.leaves.length])};
    const {pass, mode} = explorer;
    const frame = explorer.frame();
    const shown = question ? null : this.pointed ?? explorer.selected;
    const found = shown === null ? {paths: [], count: 0} : pathsToRoot(graph, pass, shown);
    const onPath = new Set(
      found.paths.flatMap((path) => path.links.map(({node, slot}) => `${node}:${slot}`)));
    this.picture.show(pass, frame, explorer.selected, onPath, mode,
      (k) => question?.kind === "gradient" && question.node === k,
      (head, slot) => question?.link?.node === head && question.link.slot === slot, sight);
    const {step} = frame;
    if (question) {
      write(get("sentence"), "A question is open.");
      write(get("reason"), "Some numbers are hidden until you answer it, or ask for the answer.");
    } else if (step) {
      write(get("sentence"), sentence(graph, pass, step, mode));
      write(get("reason"), reason(graph, step, mode));
    } else {
      write(get("sentence"), "Only the leaves have numbers yet.");
      write(get("reason"), "Press → for one step, or Space to play them all.");
    }
    const word = mode === "reverse" ? "gradient" : "tangent";
    write(get("legend"), word);
    write(get("flow-head"), word);
    get("mode").value = mode;
    get("seeding").hidden = mode === "reverse";
    get("seed").value = String(explorer.seed);
    get("scrub").max = String(explorer.steps.length);
    get("scrub").value = String(explorer.position);
    write(get("count"), `${explorer.position} of ${explorer.steps.length}`);
    get("node").value = String(explorer.selected ?? "");
    get("jump").disabled = explorer.selected === null;
    get("undo").disabled = explorer.history.length === 0;
    this.#showLeaves(question !== null, rows);
    if (question) {
      for (const id of ["about", "nudge"]) {
        get(id).replaceChildren(make("p", {}, "Hidden while a question is open."));
      }
    } else {
      this.#nudge();
      if (shown !== null) this.#about(shown, found);
      else get("about").replaceChildren(make("p", {}, "Point at a box of the picture, or choose one."));
    }
    this.#showDescent();
    this.#showQuiz();
    if (get("all").open && !dragging) {
      this.allRows.forEach(([value, flow], k) => {
        const [x, g] = [frame.values[k], frame.flows[k]];
        write(value, x === null ? "" : short(x));
        const asked = question?.kind === "gradient" && question.node === k;
        write(flow, asked ? "?" : g === null ? "–" : short(g));
      });
    }
  }
}
