/** Speech to pitch, phase and spectra, frame by frame (`telucodec.vocoder.analysis`). */
import { envelope, period } from "./envelope.js";
import { HISTORY, HOP, STEP } from "./frames.js";
import { PhaseTracker, harmonics } from "./phase.js";
import { PitchCourse, PitchTracker, windowSpectrum } from "./pitch.js";

/** One recording's way to codes and spectra. What a frame describes lies up to two hops before its last sample. */
export class SpeechAnalysis {
  /**
   * @param {import("./pitch.js").PitchCodes} pitch
   * @param {import("./phase.js").PhaseCodes} phase
   */
  constructor(pitch, phase) {
    this._pitch = new PitchTracker(pitch);
    this._course = new PitchCourse(pitch);
    this._phase = new PhaseTracker(phase);
    this._line = new Float64Array(HISTORY + HOP);
  }

  /**
   * The next HOP samples to the codes of pitch and phase, and levels [FEATURES].
   * @param {ArrayLike<number>} samples
   */
  push(samples) {
    this._line.copyWithin(0, HOP);
    this._line.set(samples, HISTORY);
    const spectrum = windowSpectrum(this._line, STEP);
    const pitch = this._pitch.push(spectrum);
    const track = this._course.push(pitch);
    const [early, late] = [0, STEP].map((start) => envelope(this._line, start, period(track)));
    const phase = this._phase.push(harmonics(spectrum, track, late), track);
    return { pitch, phase, levels: [...early, ...late].map(Math.fround) };
  }
}
