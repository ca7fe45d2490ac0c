/**
 * Frames of coefficients to audio; where frames are lost, the speech goes on as it was and fades
 * (`telucodec.waveform.concealment`). All sums are exact: the samples are those of Python.
 */
import { argmax } from "../arrays.js";
import { MDCT, onGrid } from "../mdct.js";
import { noise } from "../noise.js";

const FADE = 8; // frames from full level to silence
const PERIODIC = 0.875; // what remains of the periodic part from one frame to the next; noise takes the place of the rest
const [SHORTEST, LONGEST] = [1 / 3, 4 / 3]; // hops: the periods looked at
const COMPARED = 1 / 3; // hops of the past in which the speech must repeat itself
const HALF_KNOWN = 4; // weight of the hop after the past, of which the last frame before the loss tells half
const PAST = 3; // hops to remember

/** The output of one recording. */
export class Synthesis {
  constructor(/** @type {number} */ hop) {
    this._hop = hop;
    this._transform = new MDCT(hop);
    this._past = new Float64Array(PAST * hop);
    this._window = Float64Array.from({ length: hop }, (_, n) =>
      onGrid(Math.sin((Math.PI * (hop + n + 0.5)) / (2 * hop)), 20),
    );
    this._lost = 0; // frames in a row
    this._period = new Float64Array(1); // what the present loss goes on from
    this._spectrum = new Float64Array(hop);
  }

  /** The next frames to as many hops of audio. It ends one hop before the end of the frames. */
  push(/** @type {Float64Array} */ frames) {
    this._lost = 0;
    return this._output(frames);
  }

  /** As many hops of audio in the place of lost frames. */
  conceal(/** @type {number} */ count) {
    if (!this._lost) {
      this._period = period(this._past, this._bestPeriod());
      this._spectrum = this._lastSpectrum();
    }
    const audio = this._output(this._continued(count));
    this._lost += count;
    return audio;
  }

  _output(/** @type {Float64Array} */ frames) {
    const audio = this._transform.synthesise(frames);
    const kept = audio.subarray(Math.max(audio.length - this._past.length, 0));
    this._past.copyWithin(0, kept.length);
    this._past.set(kept, this._past.length - kept.length);
    return audio;
  }

  /** The next lost frames [count, hop]. */
  _continued(/** @type {number} */ count) {
    const hop = this._hop;
    const frames = new Float64Array(count * hop);
    const heard = Math.min(count, Math.max(FADE - this._lost, 0));
    const start = this._lost * hop;
    const repeated = Float64Array.from(
      { length: (heard + 1) * hop },
      (_, n) => this._period[(start + n) % this._period.length],
    );
    this._transform.frames(repeated).forEach((periodic, place) => {
      const number = this._lost + Math.floor(place / hop);
      const share = SHARES[number];
      const hiss = Math.sqrt(1 - share * share) * noise(start + place) * this._spectrum[place % hop];
      frames[place] = (1 - number / FADE) * (share * periodic + hiss);
    });
    return frames;
  }

  /** RMS [hop] of the last two frames of what was heard. */
  _lastSpectrum() {
    const both = this._transform.frames(this._past);
    return both.subarray(0, this._hop).map((first, bin) => {
      const second = both[this._hop + bin];
      return Math.sqrt((first * first + second * second) / 2);
    });
  }

  /**
   * The lag, in samples, at which the past repeats itself best, and goes on as the last frame says. Of the hop after the past
   * that frame holds each sample plus its mirror image, both windowed.
   */
  _bestPeriod() {
    const hop = this._hop;
    const past = this._past.map((value) => onGrid(value));
    const known = this._transform.overlap.map((value) => onGrid(value));
    const compared = Math.round(COMPARED * hop);
    const last = past.subarray(past.length - compared);
    const first = Math.round(SHORTEST * hop);
    const fits = Array.from({ length: Math.round(LONGEST * hop) - first + 1 }, (_, place) => {
      const lag = first + place;
      const earlier = past.subarray(past.length - lag - compared, past.length - lag);
      const later = this._aliased(period(past, lag));
      const common = dot(earlier, last) + HALF_KNOWN * dot(later, known);
      const energy = dot(earlier, earlier) + HALF_KNOWN * dot(later, later);
      return common / Math.sqrt(Math.max(energy, 1e-9));
    });
    return first + argmax(fits);
  }

  /** What a frame gives for its second half [hop], in which a period repeats, before the next frame is added. */
  _aliased(/** @type {Float64Array} */ repeating) {
    const windowed = this._window.map((value, n) => value * repeating[n % repeating.length]);
    return this._window.map((value, n) => onGrid(value * (windowed[n] + windowed[windowed.length - 1 - n])));
  }
}

/** The share of the periodic part in each frame of a loss. */
const SHARES = Array.from({ length: FADE }, () => 1);
for (let number = 1; number < FADE; number++) SHARES[number] = SHARES[number - 1] * PERIODIC;

/**
 * The last `lag` samples, whose last quarter passes over into what comes before the first, so that they can repeat.
 * @param {Float64Array} past
 * @param {number} lag
 */
function period(past, lag) {
  const quarter = Math.floor(lag / 4);
  const own = past.slice(past.length - lag);
  for (let n = 0; n < quarter; n++) {
    const place = lag - quarter + n;
    own[place] += ((n + 0.5) / quarter) * (past[past.length - lag - quarter + n] - own[place]);
  }
  return own.map((value) => onGrid(value));
}

/**
 * @param {Float64Array} one
 * @param {Float64Array} other
 */
function dot(one, other) {
  let sum = 0;
  for (let n = 0; n < one.length; n++) sum += one[n] * other[n];
  return sum;
}
