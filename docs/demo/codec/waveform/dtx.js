/** What is heard in the pauses of a stream that leaves packets out (`telucodec.waveform.dtx`). */

const REMEMBERED = 14; // frames of noise

/** Whether a packet starts afresh, though its number may not be that of a key packet: otherwise no payload ends so. */
export function resumes(/** @type {Uint8Array | null} */ payload) {
  return payload !== null && payload.at(-1) === 0;
}

/** The noise of the last packets that were sent, as long as they hold nothing else. */
export class Background {
  constructor(/** @type {number} */ bins) {
    this._bins = bins;
    /** @type {Float64Array[]} */
    this._energies = [];
    /** @type {Float64Array[]} */
    this._steps = [];
  }

  /** A packet that was sent. */
  push(/** @type {import("./enhancer.js").Decoded} */ { coefficients, amplitude, steps }) {
    if (coefficients.some((value) => value !== 0)) {
      [this._energies, this._steps] = [[], []];
      return;
    }
    for (let start = 0; start < steps.length; start += this._bins) {
      this._energies.push(amplitude.slice(start, start + this._bins).map((value) => value * value));
      this._steps.push(steps.slice(start, start + this._bins));
    }
    [this._energies, this._steps] = [this._energies.slice(-REMEMBERED), this._steps.slice(-REMEMBERED)];
  }

  /** Whether the next packet may have been left out. */
  get isKnown() {
    return this._energies.length > 0;
  }

  /**
   * So many frames of comfort noise.
   * @returns {import("./enhancer.js").Decoded}
   */
  noise(/** @type {number} */ frames) {
    const size = frames * this._bins;
    const [amplitude, steps] = [mean(this._energies).map(Math.sqrt), mean(this._steps)];
    return {
      coefficients: new Float64Array(size),
      amplitude: Float64Array.from({ length: size }, (_, place) => amplitude[place % this._bins]),
      steps: Float64Array.from({ length: size }, (_, place) => steps[place % this._bins]),
    };
  }
}

/** Of each place of rows, added in their order. */
function mean(/** @type {Float64Array[]} */ rows) {
  return rows[0].map((_, place) => rows.reduce((sum, row) => sum + row[place], 0) / rows.length);
}
