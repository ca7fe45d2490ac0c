/** Files of tokens that are as large as a rate allows (`telucodec.tokens.packets`). */
import { depths } from "./depths.js";

const NEAR = 0.985; // of the bytes allowed: a file that uses so many is good enough
const ATTEMPTS = 12;

/** @typedef {import("./entropy.js").Codes} Codes */

/** The codes that the frames of a recording could use. */
export class Choices {
  /**
   * @param {number} most codebooks of a frame
   * @param {import("./engine.js").Found[]} found
   */
  constructor(most, found) {
    this.most = most;
    this._found = found;
  }

  /**
   * The codes when frames use so many codebooks on average.
   * @param {number} mean
   * @returns {Codes}
   */
  codes(mean) {
    const errors = this._found.map((own) => own.errors);
    return depths(errors, mean).map((used, frame) => {
      const codes = new Int16Array(this.most).fill(-1);
      if (used) codes.set(this._found[frame].codes[used - 1]);
      return codes;
    });
  }
}

/**
 * The largest of the files that `encodeAt` makes, by the mean number of codebooks, that has no more bytes than allowed; the
 * smallest there is, without any tokens, if that has more.
 * @template {{size: number}} T
 * @param {(mean: number) => T} encodeAt
 * @param {number} most codebooks of a frame
 * @param {number} allowed bytes
 * @returns {T}
 */
export function largest(encodeAt, most, allowed) {
  const whole = encodeAt(most);
  if (whole.size <= allowed) return whole;
  let best = encodeAt(0);
  if (best.size > allowed) return best;
  let [low, least, high, size] = [0, best.size, most, whole.size];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // Size is nearly proportional to the number of codebooks: aim at the middle of what is good enough.
    const share = (((1 + NEAR) / 2) * allowed - least) / (size - least);
    const middle = low + Math.min(Math.max(share, 0.05), 0.95) * (high - low);
    const file = encodeAt(middle);
    if (file.size > allowed) {
      [high, size] = [middle, file.size];
      continue;
    }
    [low, least, best] = [middle, file.size, file];
    if (file.size >= NEAR * allowed) break;
  }
  return best;
}
