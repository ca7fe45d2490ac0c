/** Elements of the page by their ids. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 */
export function element(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`The page has no ${id}.`);
  return found;
}

/**
 * A term and its value, for a list of figures.
 * @param {string[]} pair
 */
export function figure([term, value]) {
  const pair = document.createElement("div");
  pair.append(Object.assign(document.createElement("dt"), { textContent: term }));
  pair.append(Object.assign(document.createElement("dd"), { textContent: value }));
  return pair;
}
