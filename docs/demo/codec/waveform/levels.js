/** Levels of bands to range-coded symbols and back (`telucodec.waveform.levels`). */
import { ACTIVATION_LIMIT, ExactLinear, straightenedPowers } from "../exact.js";
import { edges } from "../range_coder.js";
import { BANDS, LEVELS, LEVEL_HISTORY, PIVOT } from "./grids.js";

const LEVEL_ACTIVATION = 8; // a level is a quarter of a unit
const PASSES = [
  [0, 2, 4, 6, 8, 10, 12],
  [1, 3, 5, 7, 9, 11, 13],
]; // bands of each pass over the levels of a group

/** Says how likely each level is, from the groups before and from every other band of its own group. */
export class LevelCoder {
  constructor(/** @type {import("../models.js").Model} */ model) {
    this._bits = model.shape.level_bits;
    this._layers = PASSES.map((_, number) => [
      new ExactLinear(model, `levels.describe.${number}`, 0, ACTIVATION_LIMIT),
      new ExactLinear(model, `levels.middle.${number}`, 0, ACTIVATION_LIMIT),
      new ExactLinear(model, `levels.tell.${number}`, -Infinity, Infinity, this._bits),
    ]);
  }

  /**
   * Goes through the levels of a packet in the order of coding. `use` is called with the place of a level and where the symbols
   * begin; before the next call the level must stand in its place.
   * @param {Int32Array} levels [groups, BANDS]
   * @param {(place: number, begins: Float64Array) => void} use
   * @param {Int32Array} history the groups before this packet, up to LEVEL_HISTORY of them
   */
  each(levels, use, history) {
    const before = history.length / BANDS;
    for (let group = 0; group < levels.length / BANDS; group++) {
      const level = (/** @type {number} */ lag, /** @type {number} */ band) => {
        const place = (group - lag) * BANDS + band;
        return place >= 0 ? levels[place] : history[history.length + place];
      };
      PASSES.forEach((bands, number) => {
        /** @type {number[]} */
        const seen = [];
        const lags = Array.from({ length: LEVEL_HISTORY }, (_, place) => LEVEL_HISTORY - place);
        const exists = lags.map((lag) => lag <= group + before);
        lags.forEach((lag, place) => {
          for (let band = 0; band < BANDS; band++) seen.push(exists[place] ? activation(level(lag, band)) : 0);
        });
        seen.push(...exists.map((there) => (there ? ACTIVATION_LIMIT : 0)));
        if (number) seen.push(...PASSES[0].map((band) => activation(level(0, band))));
        const [describe, middle, tell] = this._layers[number];
        const logarithms = tell.run(middle.run(describe.run(Float64Array.from(seen))));
        bands.forEach((band, row) => {
          use(group * BANDS + band, edges(straightenedPowers(logarithms, this._bits, row * LEVELS, LEVELS)));
        });
      });
    }
  }
}

function activation(/** @type {number} */ level) {
  return (level - PIVOT) * LEVEL_ACTIVATION;
}
