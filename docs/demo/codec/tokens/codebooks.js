/** The codebooks: those that describe pitch and phase, and those that are learned (`telucodec.vocoder.codes`). */
import { rint } from "../layers.js";
import { ACTIVATION_BITS } from "../exact.js";
import { CLASSES, PLACES, PitchCodes } from "../vocoder/pitch.js";
import { PhaseCodes } from "../vocoder/phase.js";

const PHASE_PLACE = 4; // number of the phase codebook

/** All codebooks of a model. A codeword has `described` values of pitch and phase, then the latents. */
export class Codebooks {
  constructor(/** @type {import("../models.js").Model} */ model) {
    const { num_codebooks: count, codebook_size: size } = model.shape;
    const shapes = model.tensor("coding.shapes");
    const learned = model.tensor("quantizer.codebooks");
    this.count = count;
    this.size = size;
    this.pitch = new PitchCodes(size);
    this.phase = new PhaseCodes(shapes, size);
    this.places = [0, PHASE_PLACE].filter((place) => place < count); // of the codebooks that are not learned
    this.latents = learned.shape[2];
    this.described = PLACES + CLASSES + shapes.shape[0];
    this.width = this.described + this.latents;
    /** The learned codebooks, in order: [size, latents] each. */
    this.learned = Array.from({ length: learned.shape[0] }, (_, number) =>
      Float64Array.from(
        { length: size * this.latents },
        (_, place) => learned.data[number * size * this.latents + place],
      ),
    );
    /** All codebooks: [size, width] each. */
    this.words = Array.from({ length: count }, (_, number) => this._words(number));
  }

  /** How many of the first `count` codebooks are learned. */
  learnedOf(/** @type {number} */ count) {
    return count - this.places.filter((place) => place < count).length;
  }

  _words(/** @type {number} */ number) {
    const words = new Float64Array(this.size * this.width);
    const before = this.places.filter((place) => place < number).length;
    for (let code = 0; code < this.size; code++) {
      const start = code * this.width;
      if (number === 0) words.set(this.pitch.description(code).map(Math.fround), start);
      else if (number === PHASE_PLACE) words[start + PLACES + CLASSES + (code % this.phase.count)] = 1;
      else
        words.set(
          this.learned[number - before].subarray(code * this.latents, (code + 1) * this.latents),
          start + this.described,
        );
    }
    return words;
  }

  /**
   * The codewords as the prior sees them: integers.
   * @param {ArrayLike<number>} exponents [width] of its inputs
   */
  integers(exponents) {
    return this.words.map((words) =>
      words.map((value, place) => rint(value * 2 ** (exponents[place % this.width] + ACTIVATION_BITS))),
    );
  }

  /** The sum [width] of the codewords of a frame; -1 stands for none. */
  sum(/** @type {ArrayLike<number>} */ codes) {
    const sum = new Float64Array(this.width);
    for (let number = 0; number < codes.length; number++)
      if (codes[number] >= 0)
        for (let i = 0; i < this.width; i++) sum[i] += this.words[number][codes[number] * this.width + i];
    return sum;
  }
}
