/**
 * The modified discrete cosine transform of `telucodec.mdct`, the same to the last bit: samples and coefficients are rounded to
 * multiples of 2^-18 and the basis to multiples of 2^-20, so that sums are exact.
 * Source: Princen, Johnson and Bradley, ICASSP 1987.
 */
import { transposed } from "./arrays.js";
import { Linear, rint } from "./layers.js";

const [SAMPLE_BITS, BASIS_BITS] = [18, 20];

/**
 * Rounded to a multiple of 2^-bits.
 * @param {number} x
 * @param {number} [bits]
 */
export function onGrid(x, bits = SAMPLE_BITS) {
  return rint(x * 2 ** bits) * 2 ** -bits;
}

/** Those of each hop: what all recordings have in common. @type {Map<number, ReturnType<typeof layers>>} */
const LAYERS = new Map();

/** The layers of analysis and of synthesis. */
function layers(/** @type {number} */ hop) {
  const basis = new Float64Array(2 * hop * hop);
  for (let n = 0; n < 2 * hop; n++) {
    const height = Math.sin((Math.PI * (n + 0.5)) / (2 * hop)) * Math.sqrt(2 / hop);
    for (let bin = 0; bin < hop; bin++) {
      const phase = (Math.PI / hop) * (n + 0.5 + hop / 2) * (bin + 0.5);
      basis[bin * 2 * hop + n] = onGrid(height * Math.cos(phase), BASIS_BITS);
    }
  }
  return {
    analysis: new Linear(basis, null, hop),
    synthesis: new Linear(transposed(basis, 2 * hop), null, 2 * hop),
  };
}

/** The transform of one recording. Frame `t` covers the samples from `(t - 1) * hop` to `(t + 1) * hop`. */
export class MDCT {
  constructor(/** @type {number} */ hop) {
    this._hop = hop;
    const made = LAYERS.get(hop) ?? layers(hop);
    LAYERS.set(hop, made);
    this._analysis = made.analysis;
    this._synthesis = made.synthesis;
    this.overlap = new Float64Array(hop); // what the last frame adds to the next hop
  }

  /** All frames [ceil(samples / hop) + 1, hop] of a recording. */
  analyse(/** @type {ArrayLike<number>} */ audio) {
    const hop = this._hop;
    const frames = Math.ceil(audio.length / hop) + 1;
    const line = new Float64Array((frames + 1) * hop);
    line.set(audio, hop);
    return this.frames(line);
  }

  /** Frames [hops - 1, hop] of a line of whole hops. */
  frames(/** @type {Float64Array} */ line) {
    const hop = this._hop;
    const rounded = line.map((sample) => onGrid(sample));
    const frames = line.length / hop - 1;
    const windows = new Float64Array(frames * 2 * hop);
    for (let frame = 0; frame < frames; frame++)
      windows.set(rounded.subarray(frame * hop, (frame + 2) * hop), frame * 2 * hop);
    return this._analysis.run(windows);
  }

  /** The next frames to as many hops of audio; they end one hop before the last frame does. */
  synthesise(/** @type {Float64Array} */ frames) {
    const hop = this._hop;
    const windowed = this._synthesis.run(frames.map((value) => onGrid(value)));
    const audio = new Float64Array(frames.length);
    for (let start = 0; start < frames.length; start += hop)
      for (let n = 0; n < hop; n++) {
        audio[start + n] = windowed[2 * start + n] + this.overlap[n];
        this.overlap[n] = windowed[2 * start + hop + n];
      }
    return audio;
  }
}
