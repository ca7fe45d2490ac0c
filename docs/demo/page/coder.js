/** Jobs for the codec's thread: one runs at a time, and of those that wait only the newest counts. */
import { lendTo } from "./lending.js";

/**
 * @typedef {object} Result
 * @property {Uint8Array} data the bytes of the file
 * @property {Float32Array} audio
 * @property {import("../codec/header.js").Header} header
 * @property {number[]} bits that each frame costs
 * @property {string} damage what is wrong with the file; "": nothing
 */

export class Coder {
  /**
   * @param {(part: string, share: number) => void} progress
   * @param {(result: Result) => void} done
   * @param {(message: string) => void} failed
   */
  constructor(progress, done, failed) {
    this._worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    lendTo(this._worker);
    this._number = 0;
    this._busy = false;
    /** @type {import("./worker.js").Job | null} */
    this._waiting = null;
    this._worker.onmessage = ({ data: { number, part, share, result, error } }) => {
      const current = number === this._number && !this._waiting;
      if (part) {
        if (current) progress(part, share);
        return;
      }
      this._busy = false;
      if (current && result) done(result);
      if (current && error) failed(error);
      if (this._waiting) this._start(this._waiting);
    };
    this._worker.onerror = () => failed("The codec could not be loaded; reload the page.");
  }

  /** The newest job; older ones are given up. */
  run(/** @type {import("./worker.js").Job} */ job) {
    if (this._busy) this._waiting = job;
    else this._start(job);
  }

  /** What runs, or waits, is not wanted any more. */
  forget() {
    this._number++;
    this._waiting = null;
  }

  _start(/** @type {import("./worker.js").Job} */ job) {
    this._waiting = null;
    this._busy = true;
    this._number++;
    this._worker.postMessage({ number: this._number, job });
  }
}
