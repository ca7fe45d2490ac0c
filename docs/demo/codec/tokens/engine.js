/** Encoder and decoder of one model: frames that come one by one or all at once, with the same result (`telucodec.tokens.engine`). */
import { CausalStack } from "../causal_stack.js";
import { Linear } from "../layers.js";
import { transposed } from "../arrays.js";
import { SpeechAnalysis } from "../vocoder/analysis.js";
import { silence } from "../vocoder/envelope.js";
import { Excitation } from "../vocoder/excitation.js";
import { Synthesis } from "../vocoder/filters.js";
import { FEATURES, HOP } from "../vocoder/frames.js";
import { Codebooks } from "./codebooks.js";
import { BeamSearch } from "./search.js";

/** @typedef {import("./entropy.js").Codes} Codes */
/** @typedef {{codes: Int16Array[], errors: Float32Array}} Found codes of a frame with 1, 2, ... codebooks; squared errors with 0, 1, ... */

/** What all recordings have in common; the networks are set up when they are first needed: an encoder alone has no use for the decoder's. */
export class TokenEngine {
  constructor(/** @type {import("../models.js").Model} */ model) {
    this._model = model;
    this.codebooks = new Codebooks(model);
    /** @type {BeamSearch | null} */
    this._search = null;
    /** @type {CausalStack | null} */
    this._stack = null;
    this._mean = Float64Array.from(model.tensor("coding.mean").data);
    const components = model.tensor("coding.components").data;
    this._toLatents = new Linear(components, null, this.codebooks.latents);
    this.toLevels = new Linear(transposed(components, FEATURES), this._mean, FEATURES);
    this.absent = this.latents(silence()); // of a frame without any code
  }

  get search() {
    return (this._search ??= new BeamSearch(this.codebooks.learned, this.codebooks.latents));
  }

  get stack() {
    return (this._stack ??= new CausalStack(this._model, "decoder"));
  }

  /** Levels [FEATURES] to latents. */
  latents(/** @type {ArrayLike<number>} */ levels) {
    return this._toLatents.run(this._mean.map((mean, i) => Math.fround(levels[i] - mean)));
  }

  /** A recording's way to codes of up to so many codebooks, from its start. */
  encoder(/** @type {number} */ numCodebooks) {
    return new TokenEncoder(this, numCodebooks);
  }

  /** A recording's way back to audio, from its start. */
  decoder() {
    return new TokenDecoder(this);
  }
}

class TokenEncoder {
  /**
   * @param {TokenEngine} engine
   * @param {number} numCodebooks
   */
  constructor(engine, numCodebooks) {
    const { pitch, phase } = engine.codebooks;
    this._engine = engine;
    this._counts = Array.from({ length: numCodebooks }, (_, number) => number + 1);
    this._analysis = new SpeechAnalysis(pitch, phase);
  }

  /**
   * Audio [frames * HOP] to what codes could stand for each frame.
   * @param {Float64Array} audio
   * @returns {Found[]}
   */
  push(audio) {
    const { codebooks, search, absent } = this._engine;
    const width = codebooks.latents;
    const frames = audio.length / HOP;
    const latents = new Float64Array(frames * width);
    const own = Array.from({ length: frames }, (_, frame) => {
      const { pitch, phase, levels } = this._analysis.push(audio.subarray(frame * HOP, (frame + 1) * HOP));
      latents.set(this._engine.latents(levels), frame * width);
      return [pitch, phase];
    });
    const found = search.run(latents, codebooks.learnedOf(this._counts.length));
    return own.map((described, frame) => {
      const exact = latents.subarray(frame * width, (frame + 1) * width);
      const plain = { codes: /** @type {number[]} */ ([]), error: squared(exact) };
      const chosen = this._counts.map((count) => found[codebooks.learnedOf(count) - 1]?.[frame] ?? plain);
      const nothing = squared(exact.map((value, i) => value - absent[i]));
      return {
        codes: chosen.map(({ codes }, number) => this._merged(described, codes, number + 1)),
        errors: Float32Array.from([nothing, ...chosen.map(({ error }) => error)]),
      };
    });
  }

  /**
   * @param {number[]} own codes of pitch and phase
   * @param {number[]} learned
   * @param {number} count
   */
  _merged(own, learned, count) {
    const { places } = this._engine.codebooks;
    const rest = learned.values();
    return Int16Array.from({ length: count }, (_, number) =>
      places.includes(number) ? own[places.indexOf(number)] : (rest.next().value ?? -1),
    );
  }
}

class TokenDecoder {
  constructor(/** @type {TokenEngine} */ engine) {
    const { pitch, phase } = engine.codebooks;
    this._engine = engine;
    this._excitation = new Excitation(pitch, phase);
    this._synthesis = new Synthesis();
    this._past = engine.stack.start();
  }

  /**
   * The codes of frames to audio [frames * HOP], a hop behind them: the first hop of a recording lies before its start.
   * @param {Codes} codes
   */
  push(codes) {
    const { codebooks, stack, toLevels, absent } = this._engine;
    const { places, described, latents, width } = codebooks;
    const sums = new Float64Array(codes.length * width);
    const spectra = new Float64Array(codes.length * latents);
    codes.forEach((own, frame) => {
      const sum = codebooks.sum(own);
      if (own[0] < 0) sum.set(absent, described);
      sums.set(sum, frame * width);
      spectra.set(sum.subarray(described), frame * latents);
    });
    const [corrections, levels] = [stack.run(sums, this._past), toLevels.run(spectra)];
    const outputs = corrections.length / codes.length;
    const audio = new Float32Array(codes.length * HOP);
    codes.forEach((own, frame) => {
      const excited = this._excitation.push(own[places[0]], own[places[1]] ?? -1);
      const filters = corrections.subarray(frame * outputs, (frame + 1) * outputs);
      const spectrum = levels.subarray(frame * FEATURES, (frame + 1) * FEATURES);
      audio.set(this._synthesis.push(excited, spectrum, filters), frame * HOP);
    });
    return audio;
  }
}

function squared(/** @type {Float64Array} */ values) {
  return values.reduce((sum, value) => sum + value * value, 0);
}
