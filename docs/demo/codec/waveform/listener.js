/** Hears what a decoder will make of a file while it is written, for its SNR (`telucodec.waveform.stream_encoder`). */
import { MDCT } from "../mdct.js";

export class Listener {
  /**
   * @param {import("./enhancer.js").Restoration} restoration
   * @param {Float32Array} audio the recording
   * @param {number} hop
   */
  constructor(restoration, audio, hop) {
    this._restoration = restoration;
    this._audio = audio;
    this._transform = new MDCT(hop);
    this._place = -hop; // the first hop lies before the recording
    this.error = 0; // squared, of the samples that are heard so far
  }

  /** The next frames as they will be read. */
  push(/** @type {import("./enhancer.js").Decoded} */ read) {
    for (const sample of this._transform.synthesise(this._restoration.push(read))) {
      if (this._place >= 0 && this._place < this._audio.length) this.error += (this._audio[this._place] - sample) ** 2;
      this._place++;
    }
  }
}
