/** Coefficients to integers and back (`telucodec.waveform.quantization`, `telucodec.waveform.filling`). */
import { onGrid } from "../mdct.js";
import { BANDS, GROUP, LEVEL_RMS, REACH, ROWS, SCALES, SHIFTS } from "./grids.js";

const PRICE = Math.fround(0.1); // squared steps that a bit is worth
const PRICED = 127; // from here on all magnitudes cost the same
const CENTROID_BITS = 6; // a correction is a multiple of 2^-6 steps
const LARGEST_NOISE = 0.5; // steps; what is larger would not have been coded as zero

/** Quantises with the tables of one model. */
export class Quantizer {
  constructor(/** @type {import("../models.js").Model} */ model) {
    const {
      data,
      shape: [, symbols],
    } = model.tensor("frequencies");
    this._centroids = model.tensor("centroids");
    const bits = Array.from({ length: data.length / symbols }, (_, row) => {
      const own = Array.from({ length: symbols }, (_, symbol) => data[row * symbols + symbol]);
      const total = own.reduce((sum, frequency) => sum + frequency, 0);
      return own.slice(REACH).map((frequency) => Math.fround(-Math.log2(frequency / total)));
    });
    /** PRICE times the bits of a magnitude under each kind of distribution. */
    this._prices = ROWS.map((row, kind) =>
      Float64Array.from({ length: PRICED + 1 }, (_, magnitude) =>
        Math.fround(PRICE * Math.fround(bits[row][Math.min(magnitude >> SHIFTS[kind], REACH)] + SHIFTS[kind])),
      ),
    );
  }

  /**
   * The integer that costs least: squared error plus PRICE times bits. The integers below and above, and 0, are tried.
   * @param {number} value
   * @param {number} kind of distribution
   */
  quantize(value, kind) {
    const prices = this._prices[kind];
    const magnitude = Math.abs(value);
    const below = Math.trunc(magnitude);
    let [best, least] = [0, magnitude * magnitude + prices[0]];
    for (const candidate of [below, below + 1]) {
      const cost = (magnitude - candidate) ** 2 + prices[Math.min(candidate, PRICED)];
      if (cost < least) [best, least] = [candidate, cost];
    }
    return value < 0 ? -best : best;
  }

  /**
   * What integers of frames stand for.
   * @param {Int32Array} integers [frames, bins]
   * @param {Int32Array} kinds
   * @param {import("./bands.js").Grid} grid
   * @param {import("./bands.js").Bands | null} bands null: without noise
   * @returns {import("./enhancer.js").Decoded}
   */
  expand(integers, kinds, grid, bands) {
    const {
      data,
      shape: [, magnitudes],
    } = this._centroids;
    const centroid = (/** @type {number} */ kind, /** @type {number} */ magnitude) =>
      data[Math.floor(kind / SCALES.wides) * magnitudes + Math.min(magnitude, magnitudes - 1)] * 2 ** -CENTROID_BITS;
    const coefficients = grid.steps.map((step, place) => {
      const magnitude = Math.abs(integers[place]);
      return Math.sign(integers[place]) * (magnitude + centroid(kinds[place], magnitude)) * step;
    });
    const amplitude = new Float64Array(coefficients.length);
    if (!bands) return { coefficients, amplitude, steps: grid.steps };
    for (let place = 0; place < coefficients.length; place++) {
      coefficients[place] = onGrid(coefficients[place]);
      if (coefficients[place] === 0) amplitude[place] = onGrid(centroid(kinds[place], 0) * grid.steps[place]);
    }
    for (let start = 0; start < coefficients.length; start += bands.bins) {
      const levels = grid.levels.subarray(Math.floor(start / bands.bins / GROUP) * BANDS);
      fill(
        coefficients.subarray(start, start + bands.bins),
        amplitude.subarray(start),
        grid.steps.subarray(start),
        levels,
        bands,
      );
    }
    return { coefficients, amplitude, steps: grid.steps };
  }
}

/**
 * Makes the likely amplitudes of the noise in a frame those that give every band its level.
 * @param {Float64Array} coefficients [bins]
 * @param {Float64Array} amplitude
 * @param {Float64Array} steps
 * @param {Int32Array} levels
 * @param {import("./bands.js").Bands} bands
 */
function fill(coefficients, amplitude, steps, levels, bands) {
  const [coded, likely] = [bands.energy(coefficients), bands.energy(amplitude.subarray(0, bands.bins))];
  const gains = bands.sizes.map((size, band) => {
    const wanted = levels[band] ? LEVEL_RMS[levels[band]] ** 2 * size : 0;
    return likely[band] ? Math.sqrt(Math.max(wanted - coded[band], 0) / likely[band]) : 0;
  });
  for (let bin = 0; bin < bands.bins; bin++)
    amplitude[bin] = Math.min(gains[bands.of[bin]] * amplitude[bin], LARGEST_NOISE * steps[bin]);
}
