/** The codec: speech to `.tlc` bytes and back, as `telucodec.Codec` does it. Models are read when they are first needed. */
import { loss, readPackets } from "./container.js";
import { TOKENS, readHeader } from "./header.js";
import { CodecError } from "./errors.js";
import { Model, fetched } from "./models.js";
import { TokenCodec } from "./tokens/codec.js";
import { TokenStreamDecoder, TokenStreamEncoder } from "./tokens/streaming.js";
import { WaveformCodec } from "./waveform/codec.js";

/**
 * What an encoder should reach. Tokens: a number of codebooks in every frame, 0: all; or up to so many, and a rate. A waveform: a
 * quantiser step (0 to 1023), a rate or an SNR in dB, with perception (0 to 1).
 * @typedef {{tokens: number, kbps?: number}} TokenPoint
 * @typedef {({step: number} | {kbps: number} | {snr: number}) & {perception?: number}} WaveformPoint
 * @typedef {TokenPoint | WaveformPoint} OperatingPoint
 *
 * What is in a file.
 * @typedef {object} Content
 * @property {Float32Array} audio at 16 kHz
 * @property {import("./header.js").Header} header
 * @property {string} damage what is wrong with it; "": nothing
 * @property {number[]} bits that each frame costs, without headers and checksums
 * @property {import("./tokens/entropy.js").Codes | null} tokens
 */

export class Codec {
  /**
   * @param {string} folder address of the models, with a slash at its end
   * @param {(address: string) => Promise<Blob>} [get] what fetches a file of them
   */
  constructor(folder, get = fetched) {
    this._folder = folder;
    this._get = get;
    /** @type {Map<string, Promise<any>>} */
    this._loading = new Map();
  }

  /**
   * What `load` gives the first time; a failure is forgotten.
   * @template T
   * @param {string} name
   * @param {() => Promise<T>} load
   * @returns {Promise<T>}
   */
  _once(name, load) {
    const loading = this._loading.get(name) ?? load();
    this._loading.set(name, loading);
    loading.catch(() => this._loading.delete(name));
    return loading;
  }

  _model(/** @type {string} */ name) {
    return Model.load(this._folder + name, this._get);
  }

  /** The token codec. */
  tokens() {
    return this._once("tokens", async () => new TokenCodec(await this._model("tokens/")));
  }

  /** The waveform codec. */
  waveform() {
    return this._once("waveform", async () => {
      const [model, enhancer] = await Promise.all(["waveform/", "waveform/enhancer/"].map((name) => this._model(name)));
      return new WaveformCodec(model, enhancer);
    });
  }

  /**
   * Speech at 16 kHz to the bytes of a file. `hear` gives what `decode` does, in less time: the encoder knows what is in the file.
   * @param {Float32Array} audio
   * @param {OperatingPoint} point
   * @param {(share: number) => void} [progress]
   * @returns {Promise<{data: Uint8Array, hear: (progress?: (share: number) => void) => Content}>}
   */
  async encode(audio, point, progress) {
    if ("tokens" in point) {
      const codec = await this.tokens();
      const count = point.tokens || codec.numCodebooks;
      const { parts, header, codes, bits } =
        point.kbps === undefined
          ? codec.write(codec.tokenize(audio, count, progress), audio.length)
          : codec.fitted(audio, count, point.kbps, progress);
      const hear = (/** @type {((share: number) => void) | undefined} */ heard) => {
        return { audio: codec.detokenize(codes, audio.length, heard), header, damage: "", bits, tokens: codes };
      };
      return { data: await joined(parts), hear };
    }
    const codec = await this.waveform();
    const file = codec.encode(audio, point, point.perception ?? 0, progress);
    const hear = (/** @type {((share: number) => void) | undefined} */ heard) => {
      const { audio: output, bits } = codec.hear(file, heard);
      return { audio: output, bits, header: file.header, damage: "", tokens: null };
    };
    return { data: await joined(file.parts), hear };
  }

  /**
   * An encoder of a waveform as it arrives: `push` samples, then `finish`.
   * @param {{step: number, perception?: number} | {kbps: number, perception?: number}} point `kbps`: a limit that no second exceeds
   */
  async streamEncoder(point) {
    return (await this.waveform()).streamEncoder(point, point.perception ?? 0);
  }

  /** A decoder of a waveform as it arrives: `push` bytes. */
  async streamDecoder(enhance = true) {
    return (await this.waveform()).streamDecoder(enhance);
  }

  /** An encoder of tokens as speech arrives: `push` samples, then `finish`. 0: all codebooks. */
  async tokenEncoder(numCodebooks = 0) {
    const { engine, numCodebooks: all } = await this.tokens();
    return new TokenStreamEncoder(engine, numCodebooks || all);
  }

  /** A decoder of tokens as they arrive: `push` tokens. */
  async tokenDecoder() {
    return new TokenStreamDecoder((await this.tokens()).engine);
  }

  /**
   * The bytes of a file to what is in it. Damaged packets become silence.
   * @param {Uint8Array} data
   * @param {{enhance?: boolean, progress?: (share: number) => void}} [options] `enhance`: let a network improve the sound of a
   *   waveform file made with perception
   * @returns {Promise<Content>}
   * @throws {CodecError} the bytes are no such file, or another model made it
   */
  async decode(data, { enhance = true, progress } = {}) {
    const [header, place] = readHeader(data);
    const isTokens = header.mode === TOKENS;
    const codec = await (isTokens ? this.tokens() : this.waveform());
    if (header.model.some((byte, i) => byte !== codec.id[i]))
      throw new CodecError(
        `The file was made with ${isTokens ? "tokens" : "waveform"} model ${hex(header.model)}; this page has ${hex(codec.id)}.`,
      );
    const { samples, packets, damage } = readPackets(header, codec.hop, data, place);
    if (codec instanceof WaveformCodec) {
      const { audio, bits, missing } = codec.decode(header, packets, samples, enhance, progress);
      return { audio, bits, header, damage: missing ? loss(header, missing, packets.length) : damage, tokens: null };
    }
    const { codes: tokens, bits } = codec.read(header, packets);
    return { audio: codec.detokenize(tokens, samples, progress), header, damage, bits, tokens };
  }
}

async function joined(/** @type {BlobPart[]} */ parts) {
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function hex(/** @type {Uint8Array} */ bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
