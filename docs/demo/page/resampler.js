/** Samples at one rate to samples at another as they arrive. */
import { concatenate } from "../codec/arrays.js";

const CROSSINGS = 24; // of zero by the filter, on either side
const PASSED = 0.95; // of the band that both rates have; the rest is where the filter falls

/**
 * A sinc in a Hann window, for each place that an output may have between two inputs. Each output stands for the same time as in the
 * input: sample `n` for `n` divided by the rate.
 * Source: Smith, "Digital audio resampling", 1984.
 */
export class Resampler {
  /**
   * @param {number} from rate in Hz
   * @param {number} to
   */
  constructor(from, to) {
    const common = greatestDivisor(from, to);
    this._step = from / common; // of outputs, in parts of an input of which it has `_parts`
    this._parts = to / common;
    const band = Math.min(to / from, 1) * PASSED;
    this._half = Math.ceil(CROSSINGS / band);
    this._filters = Array.from({ length: this._parts }, (_, part) => filter(part / this._parts, this._half, band));
    this._line = new Float32Array(this._half - 1); // inputs that are still needed
    this._part = 0; // of the next output, in parts of an input after the middle of the first filter in the line
  }

  /** The outputs that samples complete. */
  push(/** @type {Float32Array} */ samples) {
    const line = concatenate(Float32Array, [this._line, samples]);
    const end = (line.length - 2 * this._half + 1) * this._parts;
    const out = new Float32Array(Math.max(Math.ceil((end - this._part) / this._step), 0));
    for (let n = 0; n < out.length; n++, this._part += this._step) {
      const taps = this._filters[this._part % this._parts];
      const start = Math.floor(this._part / this._parts);
      let sum = 0;
      for (let tap = 0; tap < taps.length; tap++) sum += taps[tap] * line[start + tap];
      out[n] = sum;
    }
    const done = Math.min(Math.floor(this._part / this._parts), line.length);
    this._line = line.slice(done);
    this._part -= done * this._parts;
    return out;
  }

  /** The last outputs. */
  finish() {
    return this.push(new Float32Array(this._half));
  }
}

/**
 * The weights of the inputs around an output.
 * @param {number} place of the output after the input in the middle
 * @param {number} half of their number
 * @param {number} band of the inputs that is passed, of 1
 */
function filter(place, half, band) {
  const taps = Float64Array.from({ length: 2 * half }, (_, tap) => {
    const x = tap - (half - 1) - place;
    const sinc = x === 0 ? 1 : Math.sin(Math.PI * band * x) / (Math.PI * band * x);
    return sinc * Math.cos((Math.PI * x) / (2 * half)) ** 2;
  });
  const sum = taps.reduce((total, value) => total + value, 0);
  return taps.map((value) => value / sum);
}

/**
 * @param {number} one
 * @param {number} other
 * @returns {number}
 */
function greatestDivisor(one, other) {
  return other ? greatestDivisor(other, one % other) : one;
}
