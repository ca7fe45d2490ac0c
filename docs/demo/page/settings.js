/** What the form says: tokens or a waveform, and what it should reach. */
import { element } from "./elements.js";

const EXPLANATIONS = {
  tokens: "Integers for speech language models: they describe the voice, 50 frames a second.",
  waveform: "Coefficients that follow the waveform, at any rate.",
};

const form = element("settings", HTMLFormElement);

/** The value of the radio button of this name. */
function chosen(/** @type {string} */ name) {
  return String(new FormData(form).get(name));
}

/** @returns {"tokens" | "waveform"} */
function mode() {
  return chosen("mode") === "tokens" ? "tokens" : "waveform";
}

function value(/** @type {string} */ id) {
  return +element(id, HTMLInputElement).value;
}

/** @returns {import("../codec/codec.js").OperatingPoint} */
function point() {
  if (mode() === "tokens")
    return chosen("tokens-target") === "kbps" ? { tokens: 0, kbps: value("tokens-kbps") } : { tokens: value("codebooks") };
  const perception = +element("perception", HTMLInputElement).checked;
  return chosen("waveform-target") === "snr" ? { snr: value("snr"), perception } : { kbps: value("kbps"), perception };
}

/** Shows the settings that count, and their values. */
function describe() {
  element("explanation", HTMLElement).textContent = EXPLANATIONS[mode()];
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-mode]"))) {
    const { mode: own, target } = part.dataset;
    part.hidden = own !== mode() || (target !== undefined && target !== chosen(`${own}-target`));
    const slider = part.querySelector("input[type=range]");
    if (!(slider instanceof HTMLInputElement)) continue;
    const { unit, spoken } = slider.dataset;
    for (const shown of part.querySelectorAll("span")) shown.textContent = unit ? `${slider.value} ${unit}` : slider.value;
    if (spoken) slider.setAttribute("aria-valuetext", `${slider.value} ${spoken}`);
  }
}

/**
 * Keeps the form in order.
 * @param {() => void} changed is called when the form says something else
 * @returns {() => import("../codec/codec.js").OperatingPoint} what it says now
 */
export function settings(changed) {
  form.oninput = describe;
  form.onchange = changed;
  form.onsubmit = (/** @type {Event} */ event) => event.preventDefault();
  describe();
  return point;
}
