/** Tokens to the bytes of a `.tlc` file, packet by packet (`telucodec.tokens.files`). */
import { PACKET_SECONDS, TOKENS, writeHeader, writePacket } from "../container.js";
import { HOP } from "../vocoder/frames.js";

/** @typedef {import("./entropy.js").Codes} Codes */
/**
 * A file as it is written: its bytes in parts, what is in it, and the bits that each frame costs.
 * @typedef {{parts: Uint8Array<ArrayBuffer>[], header: import("../container.js").Header, codes: Codes, bits: number[]}} File
 */

/** Frames come in pieces; each packet is coded as soon as it is full. */
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
    /** Of each frame that is coded so far. @type {number[]} */
    this.bits = [];
  }

  /** The bytes of all packets so far. */
  get size() {
    return this._packets.reduce((sum, packet) => sum + packet.length, 0);
  }

  push(/** @type {Codes} */ codes) {
    this._codes.push(...codes);
    while (this._codes.length - this.bits.length >= this._header.packetFrames) this._pack();
  }

  /**
   * The file, once all frames are there.
   * @param {number} samples of the recording
   * @returns {File}
   */
  finish(samples) {
    if (this._codes.length > this.bits.length) this._pack();
    const header = { ...this._header, samples };
    return { parts: [writeHeader(header), ...this._packets], header, codes: this._codes, bits: this.bits };
  }

  _pack() {
    const { packetFrames, settings } = this._header;
    const start = this.bits.length;
    const { payload, bits } = this._coder.encode(this._codes.slice(start, start + packetFrames), settings[1]);
    this._packets.push(writePacket(this._packets.length, payload));
    this.bits.push(...bits);
  }
}
