/** Audio that arrives in pieces to packets that can be sent at once (`telucodec.waveform.stream_encoder`). */
import { concatenate } from "../arrays.js";
import { writeEnd, writePacket } from "../container.js";
import { writeHeader } from "../header.js";
import { MDCT } from "../mdct.js";

/**
 * Pushed samples come out as bytes of a `.tlc` stream; what `finish` returns ends it. A packet leaves as soon as its last frame's
 * window is complete: with one frame a packet the algorithmic latency is two hops, 30 ms; with two, 45 ms. All pushed together
 * give the same bytes, however they were cut.
 */
export class StreamEncoder {
  /**
   * @param {import("./packets.js").Packets} packets
   * @param {import("../header.js").Header} header
   * @param {import("./rate_control.js").RateControl | null} control chooses the steps of packets that have their own
   */
  constructor(packets, header, control) {
    this.header = header;
    this._packets = packets;
    this._control = control;
    this._transform = new MDCT(packets.hop);
    this._line = new Float64Array(packets.hop); // the hop before the next frames, and the samples that wait for more
    this._walk = packets.start(header, 1);
    this._number = 0;
    this._samples = 0;
    this._begun = false;
    /** The bits that each frame costs. @type {number[]} */
    this.bits = [];
  }

  /** Samples at the codec's rate to the bytes that they complete. */
  push(/** @type {Float32Array} */ samples) {
    this._samples += samples.length;
    return concatenate(Uint8Array, [...this._start(), ...this._coded(samples)]);
  }

  /** The remaining bytes, with the end mark. */
  finish() {
    const { hop } = this._packets;
    const size = this.header.packetFrames * hop;
    const beyond = (this._samples + hop) % size; // of the last packet: its last frame covers the hop after the last sample
    const tail = new Float32Array(hop + ((size - beyond) % size));
    return concatenate(Uint8Array, [...this._start(), ...this._coded(tail), writeEnd(this._samples)]);
  }

  _start() {
    const begun = this._begun;
    this._begun = true;
    return begun ? [] : [writeHeader(this.header)];
  }

  /** The packets that samples complete. */
  _coded(/** @type {Float32Array} */ samples) {
    const { hop } = this._packets;
    const size = this.header.packetFrames * hop;
    const line = concatenate(Float64Array, [this._line, samples]);
    const whole = Math.floor((line.length - hop) / size) * size;
    this._line = line.slice(whole);
    const frames = whole ? this._transform.frames(line.subarray(0, whole + hop)) : new Float64Array();
    return Array.from({ length: whole / size }, (_, place) =>
      this._next(frames.subarray(place * size, (place + 1) * size)),
    );
  }

  /** A packet of frames [frames, hop], which continues the one before unless it is a key packet. */
  _next(/** @type {Float64Array} */ frames) {
    const { keyPackets, settings, ownSteps } = this.header;
    const number = this._number++;
    if (number % keyPackets === 0) this._walk = this._packets.start(this.header, 1);
    const encode = (/** @type {number} */ step) => {
      const walk = this._control ? this._walk.copy() : this._walk;
      const { payloads, bits } = this._packets.encode([frames], { step, shaping: settings[1] }, walk, ownSteps);
      return { packet: writePacket(number, payloads[0]), walk, bits: bits[0] };
    };
    const chosen = this._control ? this._control.pick(encode) : encode(settings[0]);
    this._walk = chosen ? chosen.walk : this._packets.start(this.header, 1); // after an empty packet the next one starts afresh
    this.bits.push(...(chosen ? chosen.bits : new Float64Array(this.header.packetFrames)));
    return chosen ? chosen.packet : writePacket(number, new Uint8Array());
  }
}
