/** Layers with exact arithmetic on integers (`telucodec.networks.exact`): the same numbers as Python's, to the bit. */
import { Linear, rint } from "./layers.js";

export const ACTIVATION_BITS = 5; // an activation is a multiple of 2^-5 ...
export const ACTIVATION_LIMIT = 127; // ... from -127 to 127 of them
const FREQUENCY_BITS = 16; // the greatest frequencies lie between 2^16 and 2^17
const POWERS = Float64Array.from({ length: FREQUENCY_BITS + 1 }, (_, n) => 2 ** n);

/**
 * The number of bits after the point in the sums of a layer with so many inputs.
 * @param {number} inputs
 */
export function sumBits(inputs) {
  return rint(Math.log2(inputs) / 2) + 5 + ACTIVATION_BITS;
}

/** A linear layer on integer activations, whose outputs are rounded to integers. */
export class ExactLinear {
  /**
   * @param {import("./models.js").Model} model
   * @param {string} name of its weights
   * @param {number} low the least output, in units of 2^-bits
   * @param {number} high the largest one
   * @param {number} [bits] after the point of the outputs
   */
  constructor(model, name, low, high, bits = ACTIVATION_BITS) {
    const { data, shape } = model.tensor(`${name}.weight`);
    this._sums = new Linear(data, model.tensor(`${name}.bias`).data, shape[0]);
    this._low = low;
    this._high = high;
    this.inputs = shape[1];
    this._unit = 2 ** (bits - sumBits(shape[1]));
  }

  /** Rows [rows, inputs] to [rows, outputs]. */
  run(/** @type {Float64Array} */ x) {
    return clipped(this._sums.run(x), this._unit, this._low, this._high);
  }
}

/**
 * Sums times a unit, rounded and clipped, in place.
 * @param {Float64Array} sums
 * @param {number} unit
 * @param {number} low
 * @param {number} high
 */
export function clipped(sums, unit, low, high) {
  for (let i = 0; i < sums.length; i++) sums[i] = Math.min(Math.max(rint(sums[i] * unit), low), high);
  return sums;
}

/**
 * Frequencies of logarithms to base 2, integers in units of 2^-bits: a straight line between powers of two.
 * @param {ArrayLike<number>} logarithms
 * @param {number} bits
 * @param {number} [start] of the logarithms that belong together
 * @param {number} [count] of them
 */
export function straightenedPowers(logarithms, bits, start = 0, count = logarithms.length) {
  const unit = 2 ** bits;
  let largest = -Infinity;
  for (let i = start; i < start + count; i++) largest = Math.max(largest, logarithms[i]);
  const zero = (Math.floor(largest / unit) - FREQUENCY_BITS) * unit;
  const powers = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const z = Math.max(logarithms[start + i] - zero, 0);
    const whole = Math.floor(z / unit);
    powers[i] = rint(POWERS[whole] * (1 + z / unit - whole));
  }
  return powers;
}
