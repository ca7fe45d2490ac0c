/** Speech that arrives in pieces to tokens, and tokens to speech (`telucodec.tokens.streaming`). */
import { concatenate } from "../arrays.js";
import { HOP } from "../vocoder/frames.js";

/** @typedef {import("./entropy.js").Codes} Codes */

/**
 * Pushed samples come out as tokens, frame by frame. A frame leaves as soon as its last sample is there: the latency is two hops,
 * 40 ms. However the samples are cut, together the tokens are those of the whole recording.
 */
export class TokenStreamEncoder {
  /**
   * @param {import("./engine.js").TokenEngine} engine
   * @param {number} numCodebooks
   */
  constructor(engine, numCodebooks) {
    this._encoder = engine.encoder(numCodebooks);
    this._waiting = new Float64Array(); // samples that do not fill a hop yet
  }

  /**
   * Samples to the tokens that they complete.
   * @param {Float32Array} samples
   * @returns {Codes}
   */
  push(samples) {
    const waiting = concatenate(Float64Array, [this._waiting, samples]);
    const whole = Math.floor(waiting.length / HOP) * HOP;
    this._waiting = waiting.slice(whole);
    return this._encoder.push(waiting.subarray(0, whole)).map(({ codes }) => codes[codes.length - 1]);
  }

  /** The tokens of what is left: one or two frames. */
  finish() {
    const missing = (HOP - (this._waiting.length % HOP)) % HOP;
    return this.push(new Float32Array(missing + HOP));
  }
}

/** Pushed tokens come out as samples, one hop behind the frames: the first frame of a recording completes no samples. */
export class TokenStreamDecoder {
  constructor(/** @type {import("./engine.js").TokenEngine} */ engine) {
    this._decoder = engine.decoder();
    this._first = true;
  }

  push(/** @type {Codes} */ codes) {
    if (!codes.length) return new Float32Array();
    const audio = this._decoder.push(codes);
    const start = this._first ? HOP : 0;
    this._first = false;
    return audio.subarray(start);
  }
}
