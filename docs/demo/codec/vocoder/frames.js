/** The time grid of the vocoder, and scales of frequency (`telucodec.vocoder.frames`, `telucodec.vocoder.envelope`). */
import { clip, interpolate } from "../arrays.js";

export const SAMPLE_RATE = 16000; // Hz
export const HOP = 320; // samples of a frame
export const STEP = HOP / 2; // samples from one spectrum to the next: two of them in a frame
export const WINDOW = 2 * HOP; // samples that pitch and spectra are measured in
export const HISTORY = WINDOW + STEP - HOP; // samples before a frame's own that its windows reach
export const POINTS = 64; // frequencies at which a spectrum is described
export const FEATURES = 2 * POINTS; // of a frame: the levels of two spectra
// Hz, where phases are described.
export const KNOTS = [80, 160, 240, 320, 400, 500, 600, 700, 850, 1000, 1200, 1400, 1700];

const BAND = [50, 7600]; // Hz, the first and the last of the POINTS

/** Hz to mel (O'Shaughnessy, "Speech communication", 1987). */
function mel(/** @type {number} */ frequency) {
  return 2595 * Math.log10(1 + frequency / 700);
}

/** Frequencies [POINTS] in Hz, evenly spaced in mel. */
export const CENTRES = Array.from({ length: POINTS }, (_, point) => {
  const [low, high] = BAND.map(mel);
  return 700 * (10 ** ((low + (point * (high - low)) / (POINTS - 1)) / 2595) - 1);
});

/**
 * The weight of each of the values at `known` frequencies for the one at `frequency`: linear over mel, constant outside.
 * @param {number} frequency
 * @param {number[]} known
 */
export function weights(frequency, known) {
  const place = interpolate(mel(frequency), known.map(mel), [...known.keys()]);
  return known.map((_, number) => clip(1 - Math.abs(place - number), 0, 1));
}

/**
 * A Hann window of so many values, periodic.
 * @param {number} length
 */
export function hann(length) {
  return Float64Array.from({ length }, (_, n) => 0.5 + 0.5 * Math.cos((Math.PI * (2 * n - length)) / length));
}
