/** Codes to pulses and noise (`telucodec.tokens.excitation`, `telucodec.vocoder.source`). */
import { noise } from "../noise.js";
import { HOP, KNOTS, SAMPLE_RATE, STEP } from "./frames.js";
import { PitchCourse, cycles } from "./pitch.js";

const HIGHEST_HARMONIC = 7800; // Hz
const NEAR_PULSE = 1e-6; // rad: there, the sum of the harmonics is their number

/** One recording's way from codes to pulses and noise. Without a phase code the pulses run on, without any the pitch stays. */
export class Excitation {
  /**
   * @param {import("./pitch.js").PitchCodes} pitch
   * @param {import("./phase.js").PhaseCodes} phase
   */
  constructor(pitch, phase) {
    this._pitch = pitch;
    this._phase = phase;
    this._course = new PitchCourse(pitch);
    this._cycles = 0;
    this._number = 0; // of the next sample
    this._silent = new Array(KNOTS.length).fill(0);
    this._angles = this._silent;
    this._line = { pulses: new Float64Array(STEP + HOP), noise: new Float64Array(STEP + HOP) };
  }

  /**
   * The next frame: STEP samples of the frame before and HOP of its own, as pulses and as noise; the share of the pulses; and for
   * each of its two windows angles [KNOTS] that are added to the phases of the pulses.
   * @param {number} pitch code, -1: none
   * @param {number} phase code, -1: none
   */
  push(pitch, phase) {
    const angles = phase < 0 ? this._silent : this._phase.angles(phase);
    const line = { pulses: new Float64Array(STEP + HOP), noise: new Float64Array(STEP + HOP) };
    line.pulses.set(this._line.pulses.subarray(HOP));
    line.noise.set(this._line.noise.subarray(HOP));
    this._pulses(line.pulses.subarray(STEP), this._course.push(pitch), phase < 0 ? 0 : this._phase.turn(phase));
    for (let n = 0; n < HOP; n++) line.noise[STEP + n] = noise(this._number + n);
    const both = [this._angles, angles];
    this._number += HOP;
    this._line = line;
    this._angles = angles;
    return { line, periodicity: this._pitch.periodicity(pitch), angles: both };
  }

  /**
   * Harmonics of equal strength with the power density of white noise of variance 1 on average, into `samples` [HOP]. The
   * turn is complete in the middle. Where speech becomes voiced, the phase starts at 0.
   * @param {Float64Array} samples
   * @param {import("./pitch.js").Track} track
   * @param {number} turn cycles
   */
  _pulses(samples, track, turn) {
    const start = track.onset ? 0 : this._cycles;
    for (let n = 0; n < HOP; n++) {
      const phase = start + cycles(track, n + 1, HOP) + turn * Math.min((n + 1) / STEP, 1);
      const pitch = track.before + ((track.after - track.before) * (n + 1)) / HOP;
      const angle = 2 * Math.PI * (phase - Math.floor(phase));
      samples[n] = Math.sqrt((2 * pitch) / (SAMPLE_RATE / 2)) * sumOfCosines(angle, HIGHEST_HARMONIC / pitch);
    }
    const end = start + cycles(track, HOP, HOP) + turn;
    this._cycles = end - Math.floor(end);
  }
}

/**
 * The sum of cos(k * phase) for k from 1 to count; of the last one, a fraction: so none appears suddenly.
 * @param {number} phase
 * @param {number} count
 */
function sumOfCosines(phase, count) {
  const whole = Math.floor(count);
  const half = Math.sin(phase / 2);
  const closed = Math.abs(half) < NEAR_PULSE ? whole : Math.sin((whole + 0.5) * phase) / (2 * half) - 0.5;
  return closed + (count - whole) * Math.cos((whole + 1) * phase);
}
