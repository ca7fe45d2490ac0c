/** The token codec: speech to tokens, tokens to speech, and both to and from the bytes of a file. */
import { CodecError, DamagedPacketError } from "../errors.js";
import { rint } from "../layers.js";
import { HOP } from "../vocoder/frames.js";
import { Choices, largest } from "./choices.js";
import { TokenEngine } from "./engine.js";
import { TokenCoder } from "./entropy.js";
import { TokenFile } from "./files.js";
import { TokenStreamDecoder } from "./streaming.js";

const BLOCK_FRAMES = 100; // that go through the networks at once

/** @typedef {import("./entropy.js").Codes} Codes */
/** @typedef {import("./files.js").File} File */

export class TokenCodec {
  constructor(/** @type {import("../models.js").Model} */ model) {
    this.engine = new TokenEngine(model);
    this._model = model;
    /** @type {TokenCoder | null} set up when files are first read or written */
    this._entropy = null;
    this.id = model.id;
    this.hop = HOP;
    this.sampleRate = model.shape.sample_rate;
    this.numCodebooks = this.engine.codebooks.count;
  }

  get _coder() {
    return (this._entropy ??= new TokenCoder(this._model, this.engine.codebooks));
  }

  /**
   * Speech to tokens, as many for every frame.
   * @param {Float32Array} audio at the codec's rate
   * @param {number} count of codebooks
   * @param {(share: number) => void} [progress]
   * @returns {Codes}
   */
  tokenize(audio, count, progress) {
    return this._encoded(audio, count, progress).map(({ codes }) => codes[count - 1]);
  }

  /**
   * The tokens of speech with every number of codebooks.
   * @param {Float32Array} audio at the codec's rate
   * @param {number} most codebooks of a frame
   * @param {(share: number) => void} [progress]
   */
  choices(audio, most, progress) {
    return new Choices(most, this._encoded(audio, most, progress));
  }

  /**
   * @param {Float32Array} audio
   * @param {number} count of codebooks
   * @param {(share: number) => void} [progress]
   */
  _encoded(audio, count, progress = () => {}) {
    const encoder = this.engine.encoder(count);
    const padded = new Float64Array((Math.ceil(audio.length / HOP) + 1) * HOP);
    padded.set(audio);
    /** @type {import("./engine.js").Found[]} */
    const found = [];
    for (let start = 0; start < padded.length; start += BLOCK_FRAMES * HOP) {
      found.push(...encoder.push(padded.subarray(start, start + BLOCK_FRAMES * HOP)));
      progress((found.length * HOP) / padded.length);
    }
    return found;
  }

  /**
   * Tokens to speech of so many samples.
   * @param {Codes} codes
   * @param {number} samples
   * @param {(share: number) => void} [progress]
   */
  detokenize(codes, samples, progress = () => {}) {
    const decoder = new TokenStreamDecoder(this.engine);
    const audio = new Float32Array(Math.max(codes.length - 1, 0) * HOP);
    for (let start = 0; start < codes.length; start += BLOCK_FRAMES) {
      audio.set(decoder.push(codes.slice(start, start + BLOCK_FRAMES)), Math.max(start - 1, 0) * HOP);
      progress(Math.min((start + BLOCK_FRAMES) / codes.length, 1));
    }
    return audio.subarray(0, samples);
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
    const file = this.file(most, mean);
    file.push(codes);
    return file.finish(samples);
  }

  /**
   * A file of tokens that are still coming.
   * @param {number} most codebooks of a frame
   * @param {number} [mean] number of codebooks; 0: every frame uses as many
   */
  file(most, mean = 0) {
    return new TokenFile(this._coder, this, most, mean);
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
   * @param {import("../header.js").Header} header
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
