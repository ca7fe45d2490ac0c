/**
 * The spectrum between and around the harmonics (`telucodec.vocoder.envelope`).
 * Source: CheapTrick (Morise, Speech Communication 67, 2015).
 */
import { FFT } from "../fft.js";
import { CENTRES, SAMPLE_RATE, WINDOW } from "./frames.js";

export const FLOOR = 3e-8; // added to the power density, which is 1 for white noise of variance 1
const PERIODS = 3; // in the window: with three, the level does not depend on where the pulses lie
const WIDTH = 2 / 3; // of the distance of harmonics, over which the power is averaged
const RECOVERY = 0.15; // how much of what the averages blur is sharpened again
const TRANSFORM = new FFT(1024);
const BINS = SAMPLE_RATE / TRANSFORM.size; // Hz from one to the next
const MARGIN = 64; // bins by which a spectrum is continued, mirrored, at both ends

/**
 * The levels [POINTS], in nepers, of the spectrum of the WINDOW samples of a line from `start` on, around their middle.
 * @param {Float64Array} line
 * @param {number} start
 * @param {number} frequency the pitch in Hz
 */
export function envelope(line, start, frequency) {
  const { window, sum, lifter } = prepared(frequency);
  const seen = window.map((value, n) => value * line[start + n]);
  const mean = seen.reduce((total, value) => total + value, 0) / sum; // no direct current
  for (let n = 0; n < WINDOW; n++) seen[n] -= window[n] * mean;
  const [re, im] = TRANSFORM.spectrum(seen);
  const power = filled(
    re.map((x, bin) => x * x + im[bin] * im[bin]),
    frequency,
  );
  const logarithms = averages(power, WIDTH * frequency).map((value) => Math.log(value + FLOOR));
  const cepstrum = TRANSFORM.signal(logarithms, new Float64Array(TRANSFORM.bins));
  const [smooth] = TRANSFORM.spectrum(cepstrum.map((value, n) => value * lifter[n]));
  return CENTRES.map((centre) => {
    const below = Math.floor(centre / BINS);
    const part = centre / BINS - below;
    return 0.5 * (smooth[below] * (1 - part) + smooth[below + 1] * part);
  });
}

/** @type {Map<number, {window: Float64Array, sum: number, lifter: Float64Array}>} */
const PREPARED = new Map();

/**
 * For a pitch: a window of PERIODS periods with an energy of 1, its sum, and factors for cepstra, which take out what is left
 * of harmonics and undo some of the averages' blur.
 * @param {number} frequency
 */
function prepared(frequency) {
  const known = PREPARED.get(frequency);
  if (known) return known;
  const half = Math.min(((PERIODS / 2) * SAMPLE_RATE) / frequency, WINDOW / 2);
  const window = Float64Array.from({ length: WINDOW }, (_, n) => {
    const place = n - WINDOW / 2 + 0.5;
    return Math.abs(place) < half ? 0.5 + 0.5 * Math.cos((Math.PI * place) / half) : 0;
  });
  const size = Math.sqrt(window.reduce((total, value) => total + value * value, 0));
  for (let n = 0; n < WINDOW; n++) window[n] /= size;
  const sum = window.reduce((total, value) => total + value, 0);
  const lifter = Float64Array.from({ length: TRANSFORM.size }, (_, n) => {
    const cycles = (Math.min(n, TRANSFORM.size - n) / SAMPLE_RATE) * frequency;
    const sinc = cycles ? Math.sin(Math.PI * cycles) / (Math.PI * cycles) : 1;
    return sinc * (1 + 2 * RECOVERY - 2 * RECOVERY * Math.cos(2 * Math.PI * cycles));
  });
  PREPARED.set(frequency, { window, sum, lifter });
  return { window, sum, lifter };
}

/**
 * A power spectrum in which what lies between 0 Hz and the pitch mirrors what lies above.
 * @param {Float64Array} power
 * @param {number} frequency
 */
function filled(power, frequency) {
  const mirrored = power.slice();
  for (let bin = 0; frequency / BINS - bin > 0; bin++) mirrored[bin] += interpolated(power, frequency / BINS - bin);
  return mirrored;
}

/**
 * The means of a power spectrum over a width in Hz around each bin.
 * @param {Float64Array} power
 * @param {number} width
 */
function averages(power, width) {
  const bins = power.length;
  const sums = new Float64Array(bins + 2 * MARGIN + 1); // up to each bin of the spectrum that is continued at both ends
  for (let place = 0; place < bins + 2 * MARGIN; place++) {
    const bin = Math.abs(place - MARGIN);
    sums[place + 1] = sums[place] + power[bin < bins ? bin : 2 * (bins - 1) - bin];
  }
  const start = MARGIN + 0.5 - width / BINS / 2;
  return power.map((_, bin) => {
    const from = interpolated(sums, start + bin);
    const to = interpolated(sums, start + width / BINS + bin);
    return Math.max(to - from, 0) / (width / BINS);
  });
}

/**
 * The value of a row between its elements.
 * @param {ArrayLike<number>} row
 * @param {number} place
 */
export function interpolated(row, place) {
  const below = Math.min(Math.floor(place), row.length - 2);
  const part = Math.min(place - below, 1);
  return row[below] * (1 - part) + row[below + 1] * part;
}

const UNVOICED = 200; // Hz, sets the length of the window where there is no pitch

/**
 * The pitch that `envelope` takes for a frame.
 * @param {import("./pitch.js").Track} track
 */
export function period(track) {
  return track.voiced ? track.after : UNVOICED;
}

/** The levels [FEATURES] of silence. */
export function silence() {
  const levels = envelope(new Float64Array(WINDOW), 0, UNVOICED).map(Math.fround);
  return [...levels, ...levels];
}
