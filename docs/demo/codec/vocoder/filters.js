/** Pulses and noise through filters to speech (`telucodec.vocoder.filters`). */
import { clip, transposed } from "../arrays.js";
import { FFT } from "../fft.js";
import { Linear } from "../layers.js";
import { FLOOR } from "./envelope.js";
import { CENTRES, HOP, KNOTS, POINTS, SAMPLE_RATE, STEP, hann, weights } from "./frames.js";

const TRANSFORM = new FFT(4 * STEP); // a window of two STEPs, and as much room for what the filters add after it
const FADED = 1e-12; // least power of a filter
const [QUIET, LOUD] = [-8, 4]; // nepers, limits of a correction
const [LEAST, MOST] = [0.001, 0.999]; // limits of the periodic share of the power
const [FULL, GONE] = [2000, 7000]; // Hz: before training, the periodic share falls from the one to the other
const OUTPUTS = 2 * POINTS + KNOTS.length; // corrections of one spectrum: of the pulses' and the noise's levels, and of phases

const SLOPE = CENTRES.map((centre) => clip((GONE - centre) / (GONE - FULL), 0, 1));
const SHAPE = hann(2 * STEP);
export const PHASE_BINS = TRANSFORM.bins;
const FREQUENCIES = Array.from({ length: TRANSFORM.bins }, (_, bin) => (bin * SAMPLE_RATE) / TRANSFORM.size);

/** Levels [POINTS] in the bins of the transform: [bins, POINTS]. */
const IN_BINS = FREQUENCIES.flatMap((frequency) => weights(frequency, CENTRES));
const LEVELS = new Linear(IN_BINS, null, TRANSFORM.bins);
/** Angles [KNOTS] in the bins. */
const ANGLES = new Linear(
  FREQUENCIES.flatMap((frequency) => weights(frequency, KNOTS)),
  null,
  TRANSFORM.bins,
);

/**
 * Levels to the phases of the filter of minimum phase: the Hilbert transform of the level, by the cepstrum folded to positive
 * times.
 */
export const MINIMUM_PHASES = (() => {
  const rows = transposed(IN_BINS, POINTS);
  const none = new Float64Array(TRANSFORM.bins);
  const phases = CENTRES.flatMap((_, point) => {
    const cepstrum = TRANSFORM.signal(rows.subarray(point * TRANSFORM.bins, (point + 1) * TRANSFORM.bins), none);
    const half = TRANSFORM.size / 2;
    const folded = cepstrum.map((value, n) => (n % half === 0 ? 0 : n < half ? value : -value));
    return [...TRANSFORM.spectrum(folded)[1]];
  });
  return new Linear(transposed(phases, TRANSFORM.bins), null, TRANSFORM.bins);
})();

/** One recording's way from what excites the filters, and the filters, to speech. */
export class Synthesis {
  constructor() {
    this._waiting = new Float64Array(TRANSFORM.size); // what earlier windows add to the next samples
  }

  /**
   * A frame to HOP samples, a hop behind it.
   * @param {ReturnType<import("./excitation.js").Excitation["push"]>} excited
   * @param {Float64Array} spectra [2 * POINTS]
   * @param {Float64Array} corrections [2 * OUTPUTS]
   */
  push(excited, spectra, corrections) {
    const audio = new Float64Array(HOP);
    for (let window = 0; window < 2; window++) {
      const sources = [excited.line.pulses, excited.line.noise].map((line) =>
        TRANSFORM.spectrum(SHAPE.map((value, n) => value * line[window * STEP + n])),
      );
      const levels = spectra.subarray(window * POINTS, (window + 1) * POINTS);
      const own = corrections.subarray(window * OUTPUTS, (window + 1) * OUTPUTS);
      this._add(sources, filters(levels, excited.periodicity, excited.angles[window], own));
      audio.set(this._waiting.subarray(0, STEP), window * STEP);
      this._waiting.copyWithin(0, STEP);
      this._waiting.fill(0, 3 * STEP);
    }
    return audio;
  }

  /**
   * @param {[Float64Array, Float64Array][]} sources spectra of pulses and noise
   * @param {ReturnType<typeof filters>} by
   */
  _add([[pulsesX, pulsesY], [noiseX, noiseY]], by) {
    const [re, im] = [new Float64Array(TRANSFORM.bins), new Float64Array(TRANSFORM.bins)];
    for (let bin = 0; bin < TRANSFORM.bins; bin++) {
      const [gain, hiss] = [Math.exp(by.pulses[bin]), Math.exp(by.noise[bin])];
      const [c, s] = [gain * Math.cos(by.phases[bin]), gain * Math.sin(by.phases[bin])];
      re[bin] = pulsesX[bin] * c - pulsesY[bin] * s + noiseX[bin] * hiss;
      im[bin] = pulsesX[bin] * s + pulsesY[bin] * c + noiseY[bin] * hiss;
    }
    const samples = TRANSFORM.signal(re, im);
    for (let n = 0; n < samples.length; n++) this._waiting[n] += samples[n];
  }
}

/**
 * The filters of a window in the bins of the transform: levels of pulses and noise in nepers, phases of the pulses in radians.
 * @param {Float64Array} levels [POINTS]
 * @param {number} periodicity
 * @param {number[]} angles [KNOTS]
 * @param {Float64Array} corrections [OUTPUTS]
 */
function filters(levels, periodicity, angles, corrections) {
  const [pulses, noise] = [new Float64Array(POINTS), new Float64Array(POINTS)];
  for (let point = 0; point < POINTS; point++) {
    const power = Math.max(Math.exp(2 * levels[point]) - FLOOR, FADED);
    const share = clip(periodicity * SLOPE[point], LEAST, MOST);
    pulses[point] = 0.5 * Math.log(power * share) + clip(corrections[point], QUIET, LOUD);
    noise[point] = 0.5 * Math.log(power * (1 - share)) + clip(corrections[POINTS + point], QUIET, LOUD);
  }
  const turned = Float64Array.from(angles, (angle, knot) => angle + corrections[2 * POINTS + knot]);
  const phases = MINIMUM_PHASES.run(levels);
  const added = ANGLES.run(turned);
  return {
    pulses: LEVELS.run(pulses),
    noise: LEVELS.run(noise),
    phases: phases.map((phase, bin) => phase + added[bin]),
  };
}
