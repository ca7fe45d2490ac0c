/** Packets of the waveform codec to audio, for whole files and for streams (`telucodec.waveform.stream_decoder`). */
import { concatenate } from "../arrays.js";
import { nextPacket, readEnd } from "../container.js";
import { WAVEFORM, readHeader } from "../header.js";
import { CodecError, DamagedPacketError } from "../errors.js";
import { Synthesis } from "./concealment.js";
import { Background, resumes } from "./dtx.js";

/** @typedef {import("../header.js").Header} Header */
/** @typedef {import("../container.js").Packet} Packet */
/** @typedef {import("./packets.js").Read} Read */

const LONGEST = 64; // bytes of a header

/**
 * Packets of one recording, in order, to audio; lost ones are concealed. With a packet the rest of its key period is lost. Where
 * packets were left out in a pause, there is comfort noise.
 */
export class FrameDecoder {
  /**
   * @param {import("./packets.js").Packets} packets
   * @param {Header} header
   * @param {import("./enhancer.js").Restoration} restoration
   */
  constructor(packets, header, restoration) {
    this._packets = packets;
    this._header = header;
    this._restoration = restoration;
    this._synthesis = new Synthesis(packets.hop);
    this._background = header.dtx ? new Background(packets.hop) : null;
    this._walk = packets.start(header, 1);
    this._broken = false;
    /** The bits that each frame costs. @type {number[]} */
    this.bits = [];
    this.missing = 0; // packets; one that no encoder writes is as good as missing
  }

  /**
   * The next packets to audio, a hop behind their frames: the first hop of a recording lies before its start.
   * @param {Packet[]} packets
   */
  decode(packets) {
    const reads =
      this._header.keyPackets > 1 ? packets.map((packet) => this._dependent(packet)) : this._independent(packets);
    return packets.map(({ frames, payload }, place) => this.hear(reads[place], frames, payload !== null));
  }

  /**
   * What the next packet holds, null if it is not there, to audio.
   * @param {Read | null} read
   * @param {number} frames
   * @param {boolean} isThere whether it holds nothing because the encoder had no bits for it
   */
  hear(read, frames, isThere) {
    if (read) this._background?.push(read.decoded);
    else if (this._background?.isKnown)
      read = { decoded: this._background.noise(frames), spent: new Float64Array(frames) };
    else this.missing += +!isThere;
    this.bits.push(...(read ? read.spent : new Float64Array(frames)));
    if (read) return this._synthesis.push(this._restoration.push(read.decoded));
    this._restoration.skip(frames * this._packets.hop);
    return this._synthesis.conceal(frames);
  }

  /** Whether the encoder had no bits for this packet. */
  _isEmpty(/** @type {Packet} */ { payload }) {
    return this._header.ownSteps && payload?.length === 0;
  }

  /**
   * Packets that are decodable by themselves; null for one that is not there or that no encoder writes.
   * @param {Packet[]} packets
   * @returns {(Read | null)[]}
   */
  _independent(packets) {
    const whole = packets.filter((packet) => packet.payload && !this._isEmpty(packet));
    if (!whole.length) return packets.map(() => null);
    try {
      const read = this._packets.decode(this._header, whole, this._packets.start(this._header, whole.length));
      return packets.map((packet) => (whole.includes(packet) ? read[whole.indexOf(packet)] : null));
    } catch (error) {
      if (!(error instanceof DamagedPacketError)) throw error;
      if (packets.length > 1) return packets.flatMap((packet) => this._independent([packet]));
      this.missing++;
      return [null];
    }
  }

  /**
   * A packet that goes on from the one before, unless that is empty, or this is a key packet or the end of a pause; after a lost one
   * the rest is lost.
   * @param {Packet} packet
   * @returns {Read | null}
   */
  _dependent(packet) {
    const { number, payload } = packet;
    const isEmpty = this._isEmpty(packet); // the next packet starts afresh
    if (isEmpty || number % this._header.keyPackets === 0 || (this._header.dtx && resumes(payload)))
      [this._walk, this._broken] = [this._packets.start(this._header, 1), false];
    if (isEmpty) return null;
    try {
      if (payload && !this._broken) return this._packets.decode(this._header, [packet], this._walk)[0];
    } catch (error) {
      if (!(error instanceof DamagedPacketError)) throw error;
      this.missing++;
    }
    this._broken = true;
    return null;
  }
}

/**
 * Pushed bytes of a `.tlc` stream come out as samples as early as possible. It is filled up to a whole packet; when it has `ended`,
 * `samples` says how many of them are speech.
 */
export class StreamDecoder {
  /** @param {(header: Header) => FrameDecoder} begin what decodes the packets of a stream with this header */
  constructor(begin) {
    this._begin = begin;
    this._data = new Uint8Array();
    /** @type {{header: Header, decoder: FrameDecoder} | null} */
    this._begun = null;
    this._number = 0;
    /** @type {number | null} */
    this.samples = null;
    this.ended = false;
  }

  /**
   * Bytes of the stream, cut anywhere, to samples.
   * @param {Uint8Array} data
   * @throws {CodecError} the stream is damaged, or not one that can be decoded as it arrives
   */
  push(data) {
    this._data = concatenate(Uint8Array, [this._data, data]);
    this._begun ??= this._start();
    const parts = [];
    while (this._begun && !this.ended) {
      const packet = nextPacket(this._data, this._number);
      if (!packet) break;
      this._data = this._data.subarray(packet.end);
      if (packet.number >= 0) parts.push(this._decoded(this._begun, packet.payload));
      else [this.samples, this.ended] = [readEnd(packet.payload), true];
    }
    return concatenate(Float32Array, parts);
  }

  /** The decoder, once the header is there. */
  _start() {
    if (this._data.length < LONGEST && !headerIsThere(this._data)) return null;
    const [header, place] = readHeader(this._data);
    if (header.mode !== WAVEFORM || header.samples !== null || header.dtx)
      throw new CodecError("Only streams of a waveform without pauses can be decoded as they arrive.");
    this._data = this._data.subarray(place);
    return { header, decoder: this._begin(header) };
  }

  /**
   * @param {{header: Header, decoder: FrameDecoder}} begun
   * @param {Uint8Array} payload
   */
  _decoded({ header, decoder }, payload) {
    const number = this._number++;
    const [audio] = decoder.decode([{ number, payload, frames: header.packetFrames }]);
    if (decoder.missing) throw new CodecError(`Packet ${number + 1} of the stream is damaged.`);
    return number ? audio : audio.subarray(audio.length / header.packetFrames); // the first hop lies before the recording
  }
}

/** Whether bytes hold a whole header, sound or not. */
function headerIsThere(/** @type {Uint8Array} */ data) {
  try {
    readHeader(data);
    return true;
  } catch (error) {
    if (error instanceof CodecError) return false;
    throw error;
  }
}
