/** Tokens to the bytes of a `.tlc` file, packet by packet (`telucodec.tokens.files`). */
import { PACKET_SECONDS, writePacket } from "../container.js";
import { TOKENS, writeHeader } from "../header.js";
import { HOP } from "../vocoder/frames.js";

/** @typedef {import("./entropy.js").Codes} Codes */
/**
 * A file as it is written: its bytes in parts, what is in it, and the bits that each frame costs.
 * @typedef {{parts: Uint8Array<ArrayBuffer>[], header: import("../header.js").Header, codes: Codes, bits: number[]}} File
 */

/** Frames come in pieces. A packet is coded when it is full, a step with each piece, so that none of them takes long. */
export class TokenFile {
  /**
   * @param {import("./entropy.js").TokenCoder} coder
   * @param {{id: Uint8Array, sampleRate: number}} model
   * @param {number} most codebooks of a frame
   * @param {number} mean number of codebooks; 0: every frame uses as many
   */
  constructor(coder, { id, sampleRate }, most, mean) {
    this._coder = coder;
    this._header = {
      mode: TOKENS,
      model: id,
      sampleRate,
      packetFrames: Math.round((PACKET_SECONDS * sampleRate) / HOP),
      keyPackets: 1,
      settings: [most, mean],
      ownSteps: false,
      dtx: false,
    };
    /** @type {Codes} */
    this._codes = [];
    /** @type {Uint8Array<ArrayBuffer>[]} */
    this._packets = [];
    /** @type {ReturnType<import("./entropy.js").TokenCoder["encodeInSteps"]> | null} */
    this._packing = null;
    /** Of each frame that is coded so far. @type {number[]} */
    this.bits = [];
  }

  /** The bytes of all packets so far. */
  get size() {
    return this._packets.reduce((sum, packet) => sum + packet.length, 0);
  }

  push(/** @type {Codes} */ codes) {
    this._codes.push(...codes);
    if (codes.length) this._advance();
  }

  /** Goes on with the packet that is full; false: there is none. */
  _advance() {
    const { packetFrames, settings } = this._header;
    const next = this._codes.slice(this.bits.length, this.bits.length + packetFrames);
    if (!this._packing && next.length === packetFrames) this._packing = this._coder.encodeInSteps(next, settings[1]);
    const step = this._packing?.next();
    if (step?.done) this._add(step.value);
    return step !== undefined;
  }

  _add(/** @type {{payload: Uint8Array, bits: Float64Array}} */ { payload, bits }) {
    this._packets.push(writePacket(this._packets.length, payload));
    this.bits.push(...bits);
    this._packing = null;
  }

  /**
   * The file, once all frames are there.
   * @param {number} samples of the recording
   * @returns {File}
   */
  finish(samples) {
    while (this._advance());
    const rest = this._codes.slice(this.bits.length);
    if (rest.length) this._add(this._coder.encode(rest, this._header.settings[1]));
    const header = { ...this._header, samples };
    return { parts: [writeHeader(header), ...this._packets], header, codes: this._codes, bits: this.bits };
  }
}
