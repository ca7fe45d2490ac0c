/** What a decoder makes of what it has read: noise in empty places, and the enhancer (`telucodec.waveform.restoration`). */
import { noise } from "../noise.js";

const [FLOOR_OCTAVES, OCTAVE_INPUT] = [-16, 0.25]; // inputs are 2 + OCTAVE_INPUT * log2(magnitude + 2^FLOOR_OCTAVES)
const [CODED_OCTAVES, NOISE_OCTAVES] = [2, 3]; // the most that coded coefficients, and noise, are amplified or attenuated
const ADDED = 0.25; // steps: the most that is added to noise

/**
 * Frames as they were read.
 * @typedef {object} Decoded
 * @property {Float64Array} coefficients [frames, bins]
 * @property {Float64Array} amplitude of noise where the coefficient is 0
 * @property {Float64Array} steps
 */

/** One recording's way from what was read to what is heard. */
export class Restoration {
  /**
   * @param {import("../causal_stack.js").CausalStack | null} enhancer null: no network improves the sound
   * @param {number} bins
   */
  constructor(enhancer, bins) {
    this._network = enhancer;
    this._past = enhancer?.start() ?? [];
    this._bins = bins;
    this._number = 0;
  }

  /** So many coefficients are lost: later ones get the noise of their place. */
  skip(/** @type {number} */ count) {
    this._number += count;
  }

  /** The next frames to coefficients. */
  push(/** @type {Decoded} */ { coefficients, amplitude, steps }) {
    const filling = amplitude.map((value, place) => value * noise(this._number + place));
    this._number += amplitude.length;
    if (!this._network) return coefficients.map((value, place) => value + filling[place]);
    const { _bins: bins } = this;
    const seen = new Float64Array(3 * coefficients.length);
    for (let place = 0; place < coefficients.length; place++) {
      const start = place + 2 * bins * Math.floor(place / bins);
      seen[start] = octaves(coefficients[place]);
      seen[start + bins] = octaves(filling[place]);
      seen[start + 2 * bins] = octaves(steps[place]);
    }
    const outputs = this._network.run(seen, this._past);
    return coefficients.map((value, place) => {
      const start = place + 2 * bins * Math.floor(place / bins);
      if (value) return value * 2 ** (CODED_OCTAVES * Math.tanh(outputs[start]));
      const added = ADDED * steps[place] * Math.tanh(outputs[start + 2 * bins]);
      return filling[place] * 2 ** (NOISE_OCTAVES * Math.tanh(outputs[start + bins])) + added;
    });
  }
}

/** A magnitude on a logarithmic scale. */
function octaves(/** @type {number} */ x) {
  return Math.log2(Math.abs(x) + 2 ** FLOOR_OCTAVES) * OCTAVE_INPUT + 2;
}
