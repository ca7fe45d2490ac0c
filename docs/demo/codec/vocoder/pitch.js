/** The first codebook: pitch and periodicity of each frame (`telucodec.vocoder.pitch`). */
import { argmax, clip } from "../arrays.js";
import { FFT } from "../fft.js";
import { SAMPLE_RATE, WINDOW, hann } from "./frames.js";

const [LOWEST, HIGHEST] = [60, 500]; // Hz
const PERIODICITIES = [0, 0.99, 1, 1]; // the share of the pulses in the four classes, before training
export const CLASSES = PERIODICITIES.length;
const LIMITS = [0.38, 0.6, 0.8]; // between the classes
export const PLACES = 16; // values that describe a pitch to networks

export const SPECTRUM = new FFT(2048);
const CORRELATION = new FFT(4096); // twice as many: two samples of the autocorrelation for each of the signal
const EXPONENT = 0.7; // of the power spectrum: 1 is the autocorrelation, less flattens formants
const BAND = [40, 60, 1500, 2000]; // Hz: the correlation uses what lies between, and fades at both ends
const PREFERENCE = 0.02; // of a pitch over the one an octave below, which is as periodic
const [MOVE, FREE, JUMP] = [0.3, 0.03, 0.3]; // price of a change: per octave beyond FREE octaves, at most JUMP
const FORGOTTEN = -2; // candidates as bad as this are all alike
const ENERGY = 0.375 * WINDOW; // of the window: the mean square of a spectrum over that of the samples
const [LOUD, RANGE] = [-70, 40]; // dB: frames count from 0.05 at LOUD to 1 at RANGE above

/** The codewords: four classes of periodicity for each of `size` / 4 pitches. */
export class PitchCodes {
  constructor(/** @type {number} */ size) {
    const count = size / CLASSES;
    this.size = size;
    this.grid = Float64Array.from({ length: count }, (_, n) => LOWEST * (HIGHEST / LOWEST) ** (n / (count - 1)));
  }

  /** Hz. */
  frequency(/** @type {number} */ code) {
    return this.grid[Math.floor(code / CLASSES)];
  }

  /** The share of the pulses; without a code, -1, it is that of the last class. */
  periodicity(/** @type {number} */ code) {
    return PERIODICITIES[(code + CLASSES) % CLASSES];
  }

  /** What networks see of a code: PLACES + CLASSES values. */
  description(/** @type {number} */ code) {
    const place = (Math.log(this.frequency(code) / LOWEST) / Math.log(HIGHEST / LOWEST)) * (PLACES - 1);
    const tents = Array.from({ length: PLACES }, (_, n) => clip(1 - Math.abs(place - n), 0, 1));
    return [...tents, ...PERIODICITIES.map((_, kind) => (kind === code % CLASSES ? 1 : 0))];
  }
}

/**
 * Finds the codes of one recording: in each frame every pitch has a periodicity, jumps have a price, and the best path so far
 * leads to the pitch.
 */
export class PitchTracker {
  constructor(/** @type {PitchCodes} */ codes) {
    const { grid } = codes;
    this._grid = grid;
    this._price = Array.from(grid, (own) =>
      grid.map((other) => Math.min(MOVE * Math.max(Math.abs(Math.log2(own / other)) - FREE, 0), JUMP)),
    );
    this._preference = grid.map((own) => PREFERENCE * Math.log2(own / LOWEST));
    this._best = new Float64Array(grid.length);
    this._held = 0;
    const powers = squares(SPECTRUM.spectrum(WINDOW_SHAPE));
    this._own = correlations(powers, grid).map((value) => Math.max(value, 0.3) ** EXPONENT);
  }

  /**
   * The code of the next frame from the spectrum of its window.
   * @param {[Float64Array, Float64Array]} spectrum
   */
  push(spectrum) {
    const powers = squares(spectrum);
    const mean = powers.reduce((sum, power) => sum + power, 0) / powers.length;
    const level = 10 * Math.log10(mean / ENERGY + 1e-12);
    const weight = level > LOUD ? clip((level - LOUD) / RANGE, 0.05, 1) : 0;
    const flat = powers.map((power, bin) => power ** EXPONENT * IN_BAND[bin]);
    const strength = correlations(flat, this._grid).map((value, place) => value / this._own[place]);
    const best = this._price.map((prices, place) => {
      let most = -Infinity;
      for (let from = 0; from < prices.length; from++) most = Math.max(most, this._best[from] - prices[from]);
      return (Math.max(strength[place], 0) + this._preference[place]) * weight + most;
    });
    const found = argmax(best);
    this._best = Float64Array.from(best, (value) => Math.max(value - best[found], FORGOTTEN));
    const kind = weight ? LIMITS.filter((limit) => limit < strength[found]).length : 0;
    if (kind) this._held = found;
    return this._held * CLASSES + kind;
  }
}

const WINDOW_SHAPE = hann(WINDOW);

const IN_BAND = Float64Array.from({ length: SPECTRUM.bins }, (_, bin) => {
  const frequency = (bin * SAMPLE_RATE) / SPECTRUM.size;
  const [start, full, fades, end] = BAND;
  return clip((frequency - start) / (full - start), 0, 1) * clip((end - frequency) / (end - fades), 0, 1);
});

/**
 * The spectrum of the WINDOW samples of a line from `start` on.
 * @param {Float64Array} line
 * @param {number} start
 */
export function windowSpectrum(line, start) {
  return SPECTRUM.spectrum(WINDOW_SHAPE.map((value, n) => value * line[start + n]));
}

/** @param {[Float64Array, Float64Array]} spectrum */
function squares([re, im]) {
  return re.map((x, bin) => x * x + im[bin] * im[bin]);
}

/**
 * The autocorrelation of a power spectrum at the periods of frequencies, over that at lag 0.
 * @param {Float64Array} powers
 * @param {Float64Array} grid Hz
 */
function correlations(powers, grid) {
  const padded = new Float64Array(CORRELATION.bins);
  padded.set(powers);
  const line = CORRELATION.signal(padded, new Float64Array(CORRELATION.bins));
  const power = Math.max(line[0], 1e-20);
  return grid.map((frequency) => {
    const lag = (SAMPLE_RATE / frequency) * (CORRELATION.size / SPECTRUM.size);
    const below = Math.floor(lag);
    const part = lag - below;
    return (line[below] / power) * (1 - part) + (line[below + 1] / power) * part;
  });
}

/**
 * The pitch over a frame: Hz at its start and at its end, whether it is voiced, and whether it is the first such frame.
 * @typedef {{before: number, after: number, voiced: boolean, onset: boolean}} Track
 */

/** One recording's pitch from its codes: it changes linearly within a frame, and starts anew where there was none. */
export class PitchCourse {
  constructor(/** @type {PitchCodes} */ codes) {
    this._codes = codes;
    this._held = 0;
    this._voiced = false;
  }

  /**
   * @param {number} code -1, for no code, keeps the last pitch and is not voiced
   * @returns {Track}
   */
  push(code) {
    const held = code >= 0 ? code : this._held;
    const voiced = code >= 0 && code % CLASSES > 0;
    const onset = voiced && !this._voiced;
    const [before, after] = [this._codes.frequency(onset ? held : this._held), this._codes.frequency(held)];
    this._held = held;
    this._voiced = voiced;
    return { before, after, voiced, onset };
  }
}

/**
 * The cycles in the first `count` samples of a frame of `hop`.
 * @param {Track} track
 * @param {number} count
 * @param {number} hop
 */
export function cycles({ before, after }, count, hop) {
  return (count * before + ((after - before) * count * (count + 1)) / (2 * hop)) / SAMPLE_RATE;
}
