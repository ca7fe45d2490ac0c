/**
 * The phase codebook: how far the pulses of a frame are turned, and how the phases of its harmonics differ from minimum phase
 * (`telucodec.vocoder.phase`).
 */
import { interpolated } from "./envelope.js";
import { MINIMUM_PHASES, PHASE_BINS } from "./filters.js";
import { HOP, KNOTS, SAMPLE_RATE, STEP, WINDOW, weights } from "./frames.js";
import { SPECTRUM, cycles } from "./pitch.js";

const HARMONICS = 16; // that are compared, below HIGHEST
const HIGHEST = 1600; // Hz
const UNREST = 2; // price of a turn by a whole cycle, squared, of 1 for the best fit

/** The codewords: code `turn * shapes + shape`. */
export class PhaseCodes {
  /**
   * @param {import("../models.js").Tensor} shapes [shapes, KNOTS], angles in radians
   * @param {number} size number of codes
   */
  constructor(shapes, size) {
    this.count = shapes.shape[0];
    this.shapes = Array.from({ length: this.count }, (_, shape) =>
      Array.from({ length: KNOTS.length }, (_, knot) => shapes.data[shape * KNOTS.length + knot]),
    );
    this.turns = 2 ** Math.floor(Math.log2(size) / 2);
  }

  /** Cycles, from -1/2 to 1/2; of the first turn 0. */
  turn(/** @type {number} */ code) {
    const half = Math.floor(this.turns / 2);
    const turn = Math.min(Math.floor(code / this.count), this.turns - 1);
    return ((turn + half) % this.turns) / this.turns - half / this.turns;
  }

  /** Angles [KNOTS] in radians. */
  angles(/** @type {number} */ code) {
    return this.shapes[code % this.count];
  }
}

/** Finds the codes of one recording: the turn and the shape that bring the pulses nearest to the harmonics of each frame. */
export class PhaseTracker {
  constructor(/** @type {PhaseCodes} */ codes) {
    this._codes = codes;
    this._turns = Array.from({ length: codes.turns }, (_, turn) => codes.turn(turn * codes.count));
    this._phase = 0; // of the pulses, in cycles
  }

  /**
   * The code of the next frame.
   * @param {{re: Float64Array, im: Float64Array}} harmonics from `harmonics`
   * @param {import("./pitch.js").Track} track
   */
  push({ re, im }, track) {
    if (track.onset) this._phase = 0;
    const code = track.voiced ? this._best(re, im, track) : 0;
    this._phase = (this._phase + cycles(track, HOP, HOP) + this._codes.turn(code)) % 1;
    if (this._phase < 0) this._phase += 1;
    return code;
  }

  /**
   * @param {Float64Array} re
   * @param {Float64Array} im
   * @param {import("./pitch.js").Track} track
   */
  _best(re, im, track) {
    const middle = this._phase + cycles(track, STEP + 1, HOP);
    const size = re.reduce((sum, x, n) => sum + Math.hypot(x, im[n]), 0) + 1e-20;
    const aligned = this._turns.map((turn) => rotated(re, im, (n) => -2 * Math.PI * (n + 1) * (turn + middle)));
    const at = places(track).map((place) => weights(place, KNOTS));
    const [ones, zeros] = [new Float64Array(HARMONICS).fill(1), new Float64Array(HARMONICS)];
    const shapes = this._codes.shapes.map((knots) =>
      rotated(ones, zeros, (n) => -at[n].reduce((sum, weight, knot) => sum + weight * knots[knot], 0)),
    );
    let [best, most] = [0, -Infinity];
    aligned.forEach(({ x, y }, turn) =>
      shapes.forEach((shape, number) => {
        let sum = 0;
        for (let n = 0; n < HARMONICS; n++) sum += x[n] * shape.x[n] - y[n] * shape.y[n];
        const score = sum / size - UNREST * this._turns[turn] ** 2;
        if (score > most) [best, most] = [turn * shapes.length + number, score];
      }),
    );
    return best;
  }
}

/**
 * The harmonics in the middle of a window: [HARMONICS], complex, squared in magnitude, less minimum phase.
 * @param {[Float64Array, Float64Array]} spectrum of the window, which starts at the first sample
 * @param {import("./pitch.js").Track} track
 * @param {number[]} levels [POINTS], of the spectrum there
 */
export function harmonics([re, im], track, levels) {
  const [real, imaginary] = [new Float64Array(HARMONICS), new Float64Array(HARMONICS)];
  const phases = minimumPhases(levels);
  places(track).forEach((place, n) => {
    if (place >= HIGHEST) return;
    const at = (place / SAMPLE_RATE) * SPECTRUM.size;
    const below = Math.floor(at);
    let [x, y] = [0, 0];
    for (const [bin, part] of [
      [below, 1 - (at - below)],
      [below + 1, at - below],
    ]) {
      const turn = (2 * Math.PI * bin * (WINDOW / 2)) / SPECTRUM.size; // moves the origin of time to the middle
      x += part * (re[bin] * Math.cos(turn) - im[bin] * Math.sin(turn));
      y += part * (re[bin] * Math.sin(turn) + im[bin] * Math.cos(turn));
    }
    const size = Math.hypot(x, y);
    const angle = Math.atan2(y, x) - interpolated(phases, (place / (SAMPLE_RATE / 2)) * (PHASE_BINS - 1));
    real[n] = size * size * Math.cos(angle);
    imaginary[n] = size * size * Math.sin(angle);
  });
  return { re: real, im: imaginary };
}

/**
 * Complex numbers [HARMONICS] turned by angles.
 * @param {Float64Array} re
 * @param {Float64Array} im
 * @param {(n: number) => number} angle
 */
function rotated(re, im, angle) {
  const [x, y] = [new Float64Array(HARMONICS), new Float64Array(HARMONICS)];
  for (let n = 0; n < HARMONICS; n++) {
    const [c, s] = [Math.cos(angle(n)), Math.sin(angle(n))];
    x[n] = re[n] * c - im[n] * s;
    y[n] = re[n] * s + im[n] * c;
  }
  return { x, y };
}

/** The phases [bins] of the minimum-phase filter with these levels. */
function minimumPhases(/** @type {number[]} */ levels) {
  return MINIMUM_PHASES.run(Float64Array.from(levels));
}

/** The frequencies [HARMONICS] of the harmonics in the middle of the last window of a frame, in Hz. */
function places(/** @type {import("./pitch.js").Track} */ { before, after }) {
  return Array.from({ length: HARMONICS }, (_, n) => ((before + after) / 2) * (n + 1));
}
