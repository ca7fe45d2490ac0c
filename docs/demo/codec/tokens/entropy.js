/**
 * Tokens to the bytes of packets and back, as docs/format.md describes it (`telucodec.tokens.entropy`).
 *
 * @typedef {Int16Array[]} Codes for each frame its codes [codebooks], -1 where it uses fewer
 */
import { ACTIVATION_LIMIT, ExactLinear, straightenedPowers } from "../exact.js";
import { clip } from "../arrays.js";
import { RangeDecoder, RangeEncoder, edges } from "../range_coder.js";

/** Codes packets of frames. */
export class TokenCoder {
  /**
   * @param {import("../models.js").Model} model
   * @param {import("./codebooks.js").Codebooks} codebooks
   */
  constructor(model, codebooks) {
    this._model = model;
    this._codebooks = codebooks;
    this._words = codebooks.integers(model.tensor("prior.exponents").data);
    this._layers = Array.from({ length: codebooks.count }, (_, number) => ({
      describe: new ExactLinear(model, `prior.describe.${number}`, 0, ACTIVATION_LIMIT),
      tell: new ExactLinear(model, `prior.tell.${number}`, -Infinity, Infinity, model.shape.prior_bits),
    }));
  }

  /**
   * @param {Codes} codes
   * @param {number} mean about how many codebooks frames use, which says how likely each number is; 0: all use as many
   * @returns {{payload: Uint8Array, bits: Float64Array}} and what each frame costs
   */
  encode(codes, mean) {
    const steps = this.encodeInSteps(codes, mean);
    let step = steps.next();
    while (!step.done) step = steps.next();
    return step.value;
  }

  /**
   * As `encode`, a codebook at a time, for a thread that must not be long.
   * @param {Codes} codes
   * @param {number} mean
   * @returns {Generator<void, {payload: Uint8Array, bits: Float64Array}>}
   */
  *encodeInSteps(codes, mean) {
    const coder = new RangeEncoder();
    const bits = new Float64Array(codes.length);
    const again = codes.map(
      (own, frame) => frame > 0 && own.every((code, number) => code === codes[frame - 1][number]),
    );
    const repeats = new Repeats();
    for (let frame = 1; frame < again.length; frame++) {
      coder.symbol(+again[frame], edges(repeats.counts));
      repeats.push(again[frame]);
      bits[frame] = coder.spent();
    }
    const depths = codes.map((own, frame) => (again[frame] ? 0 : own.filter((code) => code >= 0).length));
    let before = this._codebooks.count + 1;
    if (mean)
      depths.forEach((depth, frame) => {
        if (again[frame]) return;
        coder.symbol(depth, this._depthEdges(mean, before));
        bits[frame] += coder.spent();
        before = depth;
      });
    for (let number = 0; number < codes[0].length; number++) {
      const frames = [...depths.keys()].filter((frame) => depths[frame] > number);
      this._likely(number, codes, frames, (frame, begins) => {
        coder.symbol(codes[frame][number], begins);
        bits[frame] += coder.spent();
      });
      yield;
    }
    return { payload: coder.bytes(), bits };
  }

  /**
   * @param {Uint8Array} payload
   * @param {number} frames
   * @param {number} most codebooks of a frame
   * @param {number} mean
   * @returns {{codes: Codes, bits: Float64Array}} and what each frame costs
   */
  decode(payload, frames, most, mean) {
    const coder = new RangeDecoder(payload);
    const repeats = new Repeats();
    const bits = new Float64Array(frames);
    const again = [false];
    while (again.length < frames) {
      again.push(coder.symbol(edges(repeats.counts)) === 1);
      repeats.push(again[again.length - 1]);
      bits[again.length - 1] = coder.spent();
    }
    let before = this._codebooks.count + 1;
    const depths = again.map((now, frame) => {
      if (now) return 0;
      if (!mean) return most;
      before = coder.symbol(this._depthEdges(mean, before));
      bits[frame] += coder.spent();
      return Math.min(before, most);
    });
    const codes = again.map(() => new Int16Array(most).fill(-1));
    for (let number = 0; number < most; number++) {
      const coded = [...depths.keys()].filter((frame) => depths[frame] > number);
      const read = (/** @type {number} */ frame, /** @type {Float64Array} */ begins) => {
        codes[frame][number] = coder.symbol(begins);
        bits[frame] += coder.spent();
        for (let next = frame + 1; again[next]; next++) codes[next][number] = codes[frame][number];
      };
      if (number) this._likely(number, codes, coded, read);
      else for (const frame of coded) this._likely(number, codes, [frame], read); // each says how likely the next two are
    }
    return { codes, bits };
  }

  /**
   * Calls `use` for frames in turn, with where the symbols of their code begin.
   * @param {number} number of the codebook
   * @param {Codes} codes of which those of earlier codebooks are read; for the first codebook, those of earlier frames
   * @param {number[]} frames
   * @param {(frame: number, begins: Float64Array) => void} use
   */
  _likely(number, codes, frames, use) {
    const { size, width } = this._codebooks;
    const { describe, tell } = this._layers[number];
    const context = new Float64Array(frames.length * 2 * width);
    frames.forEach((frame, row) => {
      const seen = number ? [frame, frame - 1] : [frame - 1, frame - 2];
      seen.forEach((other, half) =>
        this._sum(codes[other], Math.max(number, 1), context.subarray((2 * row + half) * width)),
      );
    });
    const logarithms = tell.run(describe.run(context.map((value) => clip(value, -ACTIVATION_LIMIT, ACTIVATION_LIMIT))));
    frames.forEach((frame, row) =>
      use(frame, edges(straightenedPowers(logarithms, this._model.shape.prior_bits, row * size, size))),
    );
  }

  /**
   * Adds the first `count` codewords of a frame to `sum`.
   * @param {Int16Array | undefined} codes
   * @param {number} count
   * @param {Float64Array} sum
   */
  _sum(codes, count, sum) {
    const { width } = this._codebooks;
    for (let number = 0; codes && number < count && codes[number] >= 0; number++)
      for (let i = 0; i < width; i++) sum[i] += this._words[number][codes[number] * width + i];
  }

  /**
   * @param {number} mean
   * @param {number} before depth of the frame before
   */
  _depthEdges(mean, before) {
    const {
      data,
      shape: [, rows, columns],
    } = this._model.tensor("prior.depths");
    const start = (mean * rows + before) * columns;
    const logarithms = Array.from({ length: columns }, (_, depth) => -data[start + depth]);
    return edges(straightenedPowers(logarithms, this._model.shape.depth_bits));
  }
}

/** How likely a frame is to repeat the one before: as often as so far, after one that did, and after one that did not. */
class Repeats {
  constructor() {
    this._counts = [
      [64, 1],
      [1, 1],
    ];
    this._before = 0;
  }

  /** How often the next frame was [different, the same]. */
  get counts() {
    return this._counts[this._before];
  }

  push(/** @type {boolean} */ now) {
    this._counts[this._before][+now] += 1;
    this._before = +now;
  }
}
