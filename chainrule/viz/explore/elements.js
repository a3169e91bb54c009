/** Elements of the page: found by their id, made, and filled with text that is never read as HTML. */

import {typed} from "./words.js";

/** @param {string} id @returns {any} the element of that id */
export function get(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found;
}

/**
 * @param {string} tag @param {Record<string, any>} [attributes]
 * @param {(Node | string)[]} children
 * @returns {any}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** A choice among things. @param {any} select @param {[string | number, string][]} options */
export function fillSelect(select, options) {
  select.replaceChildren(...options.map(([value, text]) => make("option", {value}, text)));
}

/**
 * The number that a person typed into a field, or null; a field that holds none is marked.
 *
 * @param {HTMLInputElement} field @param {boolean} nan  whether nan is welcome
 */
export function numberIn(field, nan = false) {
  const x = typed(field.value);
  const found = x !== null && (nan || x === x) ? x : null;
  field.setAttribute("aria-invalid", String(found === null));
  return found;
}

/** Light or dark, by choice or as the system has it. */
export function theme() {
  const select = get("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    document.documentElement.dataset.theme = select.value || (dark.matches ? "dark" : "light");
  };
  select.addEventListener("change", apply);
  dark.addEventListener("change", apply);
  apply();
}

/**
 * Keys that work wherever no control needs them.
 *
 * @param {Record<string, () => void>} actions by the name of the key
 */
export function keys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const target = /** @type {Element} */ (event.target);
    if (target.closest("input, select, textarea")) return;
    if (event.key === " " && target.closest("button, summary, [role=button]")) return;
    const action = actions[event.key === " " ? "Space" : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/**
 * Keep the state in the address, as far as the page's frame permits.
 *
 * @param {() => string} encode @param {(fragment: string) => void} decode
 * @returns {() => void} to be called after each change
 */
export function address(encode, decode) {
  /** @type {number | undefined} */
  let waiting;
  window.addEventListener("hashchange", () => decode(location.hash.slice(1)));
  if (location.hash.length > 1) decode(location.hash.slice(1));
  return () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(() => {
      try {
        history.replaceState(null, "", `#${encode()}`);
      } catch {
        // inside the frame of a notebook there is no address to write to
      }
    }, 150);
  };
}
