/** How many codebooks each frame of a recording uses, when it is their mean that is given (`telucodec.tokens.depths`). */
import { rint } from "../layers.js";

const LEAST = 2 / 3; // of the mean number of codebooks; a frame that has any has that many, since uneven frames sound worse

/**
 * The number of codebooks of each frame: the next ones go where they take away most of the error. A frame's
 * error counts by its distance from silence.
 * @param {Float32Array[]} errors of each frame: its squared error with 0, 1, ... codebooks; with 0 it is that of silence
 * @param {number} mean over the frames; met as nearly as frames allow
 */
export function depths(errors, mean) {
  const gains = errors.map((own) => gainsOf(own, rint(LEAST * mean)));
  const all = Float32Array.from(gains.flatMap((own) => [...own])).sort();
  const count = Math.min(Math.max(rint(mean * errors.length), 0), all.length);
  if (count === 0) return errors.map(() => 0);
  const least = all[all.length - count];
  return gains.map((own) => own.filter((gain) => gain >= least && gain > 0).length);
}

/**
 * The gain of each codebook in a frame, never more than of those before it: one that helps little by itself counts with those
 * after it.
 * @param {Float32Array} errors
 * @param {number} least number of codebooks of a frame that has any
 */
function gainsOf(errors, least) {
  const distance = Math.fround(Math.sqrt(errors[0]));
  const allowed = errors.map((error, number) => (number > 0 && number < least ? errors[0] : error) * distance);
  const gains = new Float32Array(errors.length - 1).fill(Infinity);
  for (let number = 0; number < gains.length; number++)
    for (let from = 0; from <= number; from++) {
      // The best way on from a number of codebooks to one beyond this.
      let furthest = -Infinity;
      for (let to = number + 1; to < errors.length; to++)
        furthest = Math.max(furthest, Math.fround(Math.fround(allowed[from] - allowed[to]) / (to - from)));
      gains[number] = Math.min(gains[number], furthest);
    }
  return gains;
}
