/** The token codec: speech to tokens, tokens to speech, and both to and from the bytes of a file. */
import { CodecError, DamagedPacketError } from "../errors.js";
import { PACKET_SECONDS, TOKENS, writeHeader, writePacket } from "../container.js";
import { CausalStack, Linear, rint } from "../layers.js";
import { transposed } from "../arrays.js";
import { SpeechAnalysis } from "../vocoder/analysis.js";
import { silence } from "../vocoder/envelope.js";
import { Excitation } from "../vocoder/excitation.js";
import { Synthesis } from "../vocoder/filters.js";
import { FEATURES, HOP } from "../vocoder/frames.js";
import { Choices, largest } from "./choices.js";
import { Codebooks } from "./codebooks.js";
import { TokenCoder } from "./entropy.js";
import { BeamSearch } from "./search.js";

const BLOCK_FRAMES = 100; // that go through the networks at once

/** @typedef {import("./entropy.js").Codes} Codes */
/**
 * A file as it is written: its bytes in parts, what is in it, and the bits that each frame costs.
 * @typedef {{parts: Uint8Array<ArrayBuffer>[], header: import("../container.js").Header, codes: Codes, bits: number[]}} File
 */

export class TokenCodec {
  constructor(/** @type {import("../models.js").Model} */ model) {
    this._codebooks = new Codebooks(model);
    this._coder = new TokenCoder(model, this._codebooks);
    this._search = new BeamSearch(this._codebooks.learned, this._codebooks.latents);
    this._decoder = new CausalStack(model, "decoder");
    this._mean = Float64Array.from(model.tensor("coding.mean").data);
    const components = model.tensor("coding.components").data;
    this._toLatents = new Linear(components, null, this._codebooks.latents);
    this._toLevels = new Linear(transposed(components, FEATURES), this._mean, FEATURES);
    this._absent = this._latents(silence());
    this.id = model.id;
    this.hop = HOP;
    this.sampleRate = model.shape.sample_rate;
    this.numCodebooks = this._codebooks.count;
  }

  /** Levels [FEATURES] to latents. */
  _latents(/** @type {ArrayLike<number>} */ levels) {
    return this._toLatents.run(this._mean.map((mean, i) => Math.fround(levels[i] - mean)));
  }

  /**
   * Speech to tokens, as many for every frame.
   * @param {Float32Array} audio at the codec's rate
   * @param {number} count of codebooks
   * @param {(share: number) => void} [progress]
   * @returns {Codes}
   */
  tokenize(audio, count, progress) {
    /** @type {Codes} */
    const codes = [];
    this._each(audio, count, progress, (own, found) =>
      codes.push(this._merged(own, found[this._learned(count) - 1]?.codes ?? [], count)),
    );
    return codes;
  }

  /**
   * The tokens of speech with every number of codebooks.
   * @param {Float32Array} audio at the codec's rate
   * @param {number} most codebooks of a frame
   * @param {(share: number) => void} [progress]
   */
  choices(audio, most, progress) {
    const choices = new Choices(most);
    const counts = Array.from({ length: most }, (_, number) => number + 1);
    const squared = (/** @type {Float64Array} */ values) => values.reduce((sum, value) => sum + value * value, 0);
    this._each(audio, most, progress, (own, found, latents) => {
      const plain = squared(latents);
      const chosen = counts.map((count) => found[this._learned(count) - 1] ?? { codes: [], error: plain });
      const nothing = squared(latents.map((value, i) => value - this._absent[i]));
      choices.push(
        Float32Array.from([nothing, ...chosen.map(({ error }) => error)]),
        chosen.map(({ codes }, number) => this._merged(own, codes, number + 1)),
      );
    });
    return choices;
  }

  /** How many of the first `count` codebooks are of the spectrum. */
  _learned(/** @type {number} */ count) {
    return count - this._codebooks.places.filter((place) => place < count).length;
  }

  /**
   * Calls `use` for each frame of speech with its codes of pitch and phase; with what the search finds with 1, 2, ... codebooks of the
   * spectrum; and with its latents.
   * @param {Float32Array} audio
   * @param {number} count of codebooks
   * @param {((share: number) => void) | undefined} progress
   * @param {(own: number[], found: {codes: number[], error: number}[], latents: Float64Array) => void} use
   */
  _each(audio, count, progress, use) {
    const { pitch, phase, latents: width } = this._codebooks;
    const analysis = new SpeechAnalysis(pitch, phase);
    const frames = Math.ceil(audio.length / HOP) + 1;
    const padded = new Float64Array(frames * HOP);
    padded.set(audio);
    for (let start = 0; start < frames; start += BLOCK_FRAMES) {
      const size = Math.min(BLOCK_FRAMES, frames - start);
      const latents = new Float64Array(size * width);
      const own = Array.from({ length: size }, (_, frame) => {
        const measured = analysis.push(padded.subarray((start + frame) * HOP, (start + frame + 1) * HOP));
        latents.set(this._latents(measured.levels), frame * width);
        return [measured.pitch, measured.phase];
      });
      const found = this._search.run(latents, this._learned(count));
      own.forEach((codes, frame) =>
        use(
          codes,
          found.map((all) => all[frame]),
          latents.subarray(frame * width, (frame + 1) * width),
        ),
      );
      progress?.((start + size) / frames);
    }
  }

  /**
   * @param {number[]} own codes of pitch and phase
   * @param {number[]} learned
   * @param {number} count
   */
  _merged(own, learned, count) {
    const { places } = this._codebooks;
    const rest = learned.values();
    return Int16Array.from({ length: count }, (_, number) =>
      places.includes(number) ? own[places.indexOf(number)] : (rest.next().value ?? -1),
    );
  }

  /**
   * Tokens to speech of so many samples.
   * @param {Codes} codes
   * @param {number} samples
   * @param {(share: number) => void} [progress]
   */
  detokenize(codes, samples, progress = () => {}) {
    const { pitch, phase, places, described, latents, width } = this._codebooks;
    const [excitation, synthesis] = [new Excitation(pitch, phase), new Synthesis()];
    const audio = new Float32Array(codes.length * HOP);
    this._decoder.reset();
    for (let start = 0; start < codes.length; start += BLOCK_FRAMES) {
      const block = codes.slice(start, start + BLOCK_FRAMES);
      const sums = new Float64Array(block.length * width);
      const spectra = new Float64Array(block.length * latents);
      block.forEach((own, frame) => {
        const sum = this._codebooks.sum(own);
        if (own[0] < 0) sum.set(this._absent, described);
        sums.set(sum, frame * width);
        spectra.set(sum.subarray(described), frame * latents);
      });
      const [corrections, levels] = [this._decoder.run(sums), this._toLevels.run(spectra)];
      const outputs = corrections.length / block.length;
      block.forEach((own, frame) => {
        const excited = excitation.push(own[places[0]], own[places[1]] ?? -1);
        const filters = corrections.subarray(frame * outputs, (frame + 1) * outputs);
        audio.set(
          synthesis.push(excited, levels.subarray(frame * FEATURES, (frame + 1) * FEATURES), filters),
          (start + frame) * HOP,
        );
      });
      progress((start + block.length) / codes.length);
    }
    return audio.subarray(HOP, HOP + samples); // the first hop lies before the recording
  }

  /**
   * A file of tokens of a recording of so many samples, and what is in it.
   * @param {Codes} codes
   * @param {number} samples
   * @returns {File}
   */
  write(codes, samples) {
    const most = codes[0].length;
    const used = codes.reduce((sum, own) => sum + own.filter((code) => code >= 0).length, 0);
    const mean = used === most * codes.length ? 0 : Math.max(rint(used / codes.length), 1);
    const packetFrames = Math.round((PACKET_SECONDS * this.sampleRate) / HOP);
    const header = {
      mode: TOKENS,
      model: this.id,
      sampleRate: this.sampleRate,
      samples,
      packetFrames,
      keyPackets: 1,
      settings: [most, mean],
      ownSteps: false,
      dtx: false,
    };
    const parts = [writeHeader(header)];
    /** @type {number[]} */
    const bits = [];
    for (let start = 0; start < codes.length; start += packetFrames) {
      const packet = this._coder.encode(codes.slice(start, start + packetFrames), mean);
      parts.push(writePacket(parts.length - 1, packet.payload));
      bits.push(...packet.bits);
    }
    return { parts, header, codes, bits };
  }

  /**
   * The largest file of speech of at most so many kbit/s, the codebooks shared out among its frames.
   * @param {Float32Array} audio
   * @param {number} most codebooks of a frame
   * @param {number} kbps
   * @param {(share: number) => void} [progress]
   * @returns {File}
   */
  fitted(audio, most, kbps, progress) {
    const choices = this.choices(audio, most, progress);
    const allowed = (((kbps * 1000) / 8) * Math.max(audio.length, 1)) / this.sampleRate;
    const encodeAt = (/** @type {number} */ mean) => {
      const file = this.write(choices.codes(mean), audio.length);
      return { file, size: file.parts.reduce((sum, part) => sum + part.length, 0) };
    };
    return largest(encodeAt, most, allowed).file;
  }

  /**
   * The tokens of packets, and the bits that each frame costs; tokens of silence where a packet is lost.
   * @param {import("../container.js").Header} header
   * @param {import("../container.js").Packet[]} packets
   */
  read({ settings: [most, mean] }, packets) {
    if (Math.max(most, mean) > this.numCodebooks)
      throw new CodecError(`The file has ${Math.max(most, mean)} codebooks; the model has ${this.numCodebooks}.`);
    const parts = packets.map(({ payload, frames }) => {
      try {
        if (payload) return this._coder.decode(payload, frames, most, mean);
      } catch (error) {
        if (!(error instanceof DamagedPacketError)) throw error;
      }
      return { codes: new Array(frames).fill(this._silent(most)), bits: new Float64Array(frames) };
    });
    return { codes: parts.flatMap(({ codes }) => codes), bits: parts.flatMap(({ bits }) => [...bits]) };
  }

  _silent(/** @type {number} */ count) {
    return this.tokenize(new Float32Array(HOP), count)[0];
  }
}
