/** The grids that steps, levels and scales of the waveform codec lie on (`telucodec.waveform.grids`). */

export const LAST_STEP = 1023;
export const GROUP = 2; // frames that share their levels
export const EDGES = [0, 8, 16, 24, 32, 40, 49, 60, 73, 89, 108, 132, 161, 197, 240]; // of the bands, in 240ths of all bins
export const BANDS = EDGES.length - 1;
export const LEVELS = 24; // level n is an RMS of 2^((n - UNITY) * LEVEL_UNIT / 64) and 0 is silence
export const LEVEL_UNIT = 52;
export const UNITY = 20;
export const PIVOT = 12; // where the level is this one, the step is that of the settings
export const FULL_SHAPING = 8; // shaping at perception 1; with shaping n, steps follow the envelope to the power n / 16
export const LEVEL_HISTORY = 3; // groups whose levels say how likely the next ones are

/** Coefficients of each pass: the first bin, and the distance to the next. */
export const PASSES = [
  [0, 4],
  [2, 4],
  [1, 2],
];
export const RECENT = 3; // frames whose coefficients the network sees one by one

const STEPS_PER_OCTAVE = 64;
const [SCALE_LOW, SCALE_HIGH] = [-40, 56]; // log2 of the scale of a distribution in steps, in eighths
const WIDE_HIGH = 4; // weight of the wide component of a distribution, in eighths
export const SCALES = { low: SCALE_LOW, high: SCALE_HIGH, wide: WIDE_HIGH, wides: WIDE_HIGH + 1 };
export const REACH = 31; // symbols -31 to 31; at either end an escape code tells how far beyond
const COARSE = 16; // scales above 2^(16/8) steps: the lowest bits of a value are coded as they come

const KINDS = [...Array((SCALE_HIGH - SCALE_LOW + 1) * SCALES.wides).keys()];
/** For each kind of distribution the number of low bits of a value that are coded as they come. */
export const SHIFTS = KINDS.map((kind) => Math.max((Math.floor(kind / SCALES.wides) + SCALE_LOW - COARSE + 7) >> 3, 0));
/** For each kind of distribution its row in the table of frequencies. */
export const ROWS = KINDS.map((kind) => {
  const [scale, shift] = [Math.floor(kind / SCALES.wides), SHIFTS[kind]];
  return (shift > 0 ? scale - shift * 8 + 8 : scale) * SCALES.wides + (kind % SCALES.wides);
});

/** The root by which powers of 2 rise 64 times in an octave; square roots are exact on every machine, powers are not. */
const ROOT = [1, 2, 3, 4, 5, 6].reduce((root) => Math.sqrt(root), 2);
const OCTAVE = [1];
while (OCTAVE.length < STEPS_PER_OCTAVE) OCTAVE.push(OCTAVE[OCTAVE.length - 1] * ROOT);

/** 2^(n / 64). */
function power(/** @type {number} */ n) {
  const octaves = Math.floor(n / STEPS_PER_OCTAVE);
  return OCTAVE[n - octaves * STEPS_PER_OCTAVE] * 2 ** octaves;
}

export const STEPS = Float64Array.from({ length: LAST_STEP + 1 }, (_, step) => power(-step));
export const LEVEL_RMS = Float64Array.from({ length: LEVELS }, (_, level) => power((level - UNITY) * LEVEL_UNIT));
