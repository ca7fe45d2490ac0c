/**
 * The levels of bands, and the grid on which frames are quantised (`telucodec.waveform.bands` and `.quantization`).
 *
 * @typedef {object} Grid what the frames of a packet are quantised with
 * @property {Int32Array} levels [groups, BANDS]; without shaping there are no groups
 * @property {Float64Array} steps [frames, bins]
 * @property {Float64Array} expected [frames, bins]: the envelope over the steps, integer activations; 0 without shaping
 */
import { argmax, clip, interpolate } from "../arrays.js";
import { ACTIVATION_BITS, ACTIVATION_LIMIT } from "../exact.js";
import { rint } from "../layers.js";
import { BANDS, EDGES, GROUP, LAST_STEP, LEVELS, LEVEL_UNIT, PIVOT, STEPS, UNITY } from "./grids.js";

const PARTS = 256; // the envelope of a bin is a mean of two levels with weights in so many parts
const LEAST = 1e-20; // energies count as at least this

/** The bands of frames of `bins` coefficients. */
export class Bands {
  constructor(/** @type {number} */ bins) {
    this.bins = bins;
    const edges = EDGES.map((edge) => rint((edge * bins) / EDGES[BANDS]));
    this.sizes = Array.from({ length: BANDS }, (_, band) => edges[band + 1] - edges[band]);
    /** The band of each bin. */
    this.of = Uint8Array.from({ length: bins }, (_, bin) => edges.findIndex((edge) => edge > bin) - 1);
    const middles = this.sizes.map((size, band) => edges[band] + (size - 1) / 2);
    this.centres = middles.map(Math.floor);
    this._parts = Array.from({ length: bins }, (_, bin) => parts(bin, middles));
  }

  /** The levels [groups, BANDS] of coefficients [frames, bins]; the last group may be a part of one. */
  measure(/** @type {Float64Array} */ frames) {
    const count = frames.length / this.bins;
    const levels = new Int32Array(Math.ceil(count / GROUP) * BANDS);
    for (let group = 0; group < levels.length / BANDS; group++) {
      const own = frames.subarray(group * GROUP * this.bins, (group + 1) * GROUP * this.bins);
      const energy = this.energy(own);
      for (let band = 0; band < BANDS; band++) {
        const mean = energy[band] / (own.length / this.bins) / this.sizes[band];
        const octaves = Math.log2(Math.max(mean, LEAST)) / 2;
        levels[group * BANDS + band] = clip(rint(octaves * (64 / LEVEL_UNIT) + UNITY), 0, LEVELS - 1);
      }
    }
    return levels;
  }

  /** The sums [BANDS] of the squares of coefficients [..., bins]. */
  energy(/** @type {Float64Array} */ frames) {
    const sums = new Float64Array(BANDS);
    for (let place = 0; place < frames.length; place++) sums[this.of[place % this.bins]] += frames[place] ** 2;
    return sums;
  }

  /**
   * The grid of so many frames with these levels.
   * @param {{step: number, shaping: number}} settings
   * @param {Int32Array} levels
   * @param {number} frames
   * @returns {Grid}
   */
  grid({ step, shaping }, levels, frames) {
    const steps = new Float64Array(frames * this.bins).fill(STEPS[step]);
    const expected = new Float64Array(steps.length);
    const size = GROUP * this.bins;
    for (let start = 0; shaping && start < steps.length; start += size) {
      const group = (start / size) * BANDS;
      for (let bin = 0; bin < this.bins; bin++) {
        let sum = 0;
        for (const [band, part] of this._parts[bin]) sum += levels[group + band] * part;
        const envelope = rint(sum * (LEVEL_UNIT / PARTS));
        const number = clip(step - rint((envelope - PIVOT * LEVEL_UNIT) * (shaping / 16)), 0, LAST_STEP);
        const ratio = rint((envelope - UNITY * LEVEL_UNIT + number) * (0.375 / 64) * 2 ** ACTIVATION_BITS);
        for (let place = start + bin; place < Math.min(start + size, steps.length); place += this.bins) {
          steps[place] = STEPS[number];
          expected[place] = clip(ratio, -ACTIVATION_LIMIT, ACTIVATION_LIMIT);
        }
      }
    }
    return { levels, steps, expected };
  }
}

/**
 * The bands whose levels make the envelope of a bin, and how many of PARTS each of them has.
 * @param {number} bin
 * @param {number[]} middles of the bands
 */
function parts(bin, middles) {
  const shares = middles.map((_, band) =>
    interpolate(
      bin,
      middles,
      middles.map((_, other) => +(other === band)),
    ),
  );
  const whole = shares.map((share) => Math.floor(share * PARTS));
  whole[argmax(shares)] += PARTS - whole.reduce((sum, part) => sum + part, 0);
  return [...whole.entries()].filter(([, part]) => part > 0);
}
