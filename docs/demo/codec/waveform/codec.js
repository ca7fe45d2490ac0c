/** The waveform codec: speech to files and back. */
import { PACKET_SECONDS, WAVEFORM, writeHeader, writePacket } from "../container.js";
import { DamagedPacketError } from "../errors.js";
import { MDCT } from "../mdct.js";
import { Synthesis } from "./concealment.js";
import { Background, resumes } from "./dtx.js";
import { Restoration } from "./enhancer.js";
import { FULL_SHAPING } from "./grids.js";
import { Listener } from "./listener.js";
import { Packets } from "./packets.js";
import { toKbps, toSnr } from "./search.js";

const SIDE_BY_SIDE = 8; // packets that go through the network at once

/** @typedef {import("./packets.js").Settings} Settings */
/** @typedef {import("./packets.js").Read} Read */
/**
 * A quantiser step, 0 to 1023, finer by 6 dB every 64; or the rate of the file in kbit/s; or its SNR in dB.
 * @typedef {{step: number} | {kbps: number} | {snr: number}} Target
 */
/**
 * A file as it is written: its bytes in parts, and what a decoder reads in its packets, some of them at a time.
 * @typedef {{parts: Uint8Array<ArrayBuffer>[], header: import("../container.js").Header & {samples: number}, reads: (() => Read[])[]}} File
 */

export class WaveformCodec {
  /**
   * @param {import("../models.js").Model} model
   * @param {import("../models.js").Model | null} enhancer
   */
  constructor(model, enhancer) {
    this._enhancer = enhancer;
    this.id = model.id;
    this.hop = model.shape.hop;
    this.sampleRate = model.shape.sample_rate;
    this.packets = new Packets(model);
  }

  /**
   * Speech at the codec's rate to a file, and what is in it.
   * @param {Float32Array} audio
   * @param {Target} target
   * @param {number} perception 0: least squared error; 1: noise hidden below speech
   * @param {(share: number) => void} [progress] of coding at one step; a search may start again
   * @returns {File}
   */
  encode(audio, target, perception, progress = () => {}) {
    const shaping = Math.ceil(FULL_SHAPING * perception);
    const frames = new MDCT(this.hop).analyse(audio);
    const encodeAt = (/** @type {number} */ step) => {
      const listener = "snr" in target ? new Listener(this.restoration({ step, shaping }), audio, this.hop) : null;
      const data = this._file(frames, audio.length, { step, shaping }, progress, listener);
      return { data, size: data.parts.reduce((sum, part) => sum + part.length, 0), error: listener?.error ?? 0 };
    };
    if ("step" in target) return encodeAt(target.step).data;
    if (audio.every((sample) => sample === 0)) return encodeAt(0).data;
    const search = "snr" in target ? toSnr : toKbps;
    return search(this, audio, "snr" in target ? target.snr : target.kbps, shaping, encodeAt);
  }

  /**
   * @param {Float64Array} frames [frames, hop] of the recording
   * @param {number} samples
   * @param {Settings} settings
   * @param {(share: number) => void} progress
   * @param {Listener | null} listener
   * @returns {File}
   */
  _file(frames, samples, settings, progress, listener) {
    const packetFrames = Math.round((PACKET_SECONDS * this.sampleRate) / this.hop);
    const header = {
      mode: WAVEFORM,
      model: this.id,
      sampleRate: this.sampleRate,
      samples,
      packetFrames,
      keyPackets: 1,
      settings: [settings.step, settings.shaping],
      ownSteps: false,
      dtx: false,
    };
    const parts = [writeHeader(header)];
    /** @type {(() => Read[])[]} */
    const reads = [];
    const size = packetFrames * this.hop;
    for (let start = 0; start < frames.length; start += SIDE_BY_SIDE * size) {
      const packets = [];
      for (let own = start; own < Math.min(start + SIDE_BY_SIDE * size, frames.length); own += size)
        packets.push(frames.subarray(own, Math.min(own + size, frames.length)));
      const { payloads, read } = this.packets.encode(packets, settings);
      for (const payload of payloads) parts.push(writePacket(parts.length - 1, payload));
      reads.push(read);
      if (listener) read().forEach(({ decoded }) => listener.push(decoded));
      progress(Math.min((start + SIDE_BY_SIDE * size) / frames.length, 1));
    }
    return { parts, header, reads };
  }

  /** What makes sound of what is read at some settings. */
  restoration(/** @type {Settings} */ { shaping }) {
    return new Restoration(shaping ? this._enhancer : null, this.hop);
  }

  /**
   * What is heard in a file just written, and the bits that each frame costs, as `decode` finds them; but the network need not say
   * again how likely every integer was.
   * @param {File} file
   * @param {(share: number) => void} [progress]
   */
  hear({ header, reads }, progress) {
    const frames = Math.ceil(header.samples / this.hop) + 1;
    return this._heard(header, frames, header.samples, true, progress, (use) =>
      reads.forEach((read) => read().forEach((packet) => use(packet, packet.spent.length, true))),
    );
  }

  /**
   * The audio of packets, of so many samples, the bits that each frame costs, and how many packets are missing. These are
   * concealed; where packets were left out in a pause, there is comfort noise.
   * @param {import("../container.js").Header} header
   * @param {import("../container.js").Packet[]} packets
   * @param {number} samples
   * @param {boolean} enhance whether a network improves the sound of a file made with perception
   * @param {(share: number) => void} [progress]
   */
  decode(header, packets, samples, enhance, progress) {
    const frames = packets.reduce((sum, packet) => sum + packet.frames, 0);
    return this._heard(header, frames, samples, enhance, progress, (use) =>
      this._read(header, packets, (read, packet) => use(read, packet.frames, packet.payload !== null)),
    );
  }

  /**
   * @param {import("../container.js").Header} header
   * @param {number} total number of frames
   * @param {number} samples
   * @param {boolean} enhance
   * @param {((share: number) => void) | undefined} progress
   * @param {(use: (read: Read | null, frames: number, isThere: boolean) => void) => void} each calls `use` with the packets
   */
  _heard(header, total, samples, enhance, progress, each) {
    const { hop } = this;
    const restoration = new Restoration(enhance && header.settings[1] ? this._enhancer : null, hop);
    const synthesis = new Synthesis(hop);
    const background = header.dtx ? new Background(hop) : null;
    const audio = new Float32Array(total * hop);
    /** @type {number[]} */
    const bits = [];
    let missing = 0;
    each((read, frames, isThere) => {
      if (read) background?.push(read.decoded);
      else if (background?.isKnown) read = { decoded: background.noise(frames), spent: new Float64Array(frames) };
      else missing += +!isThere;
      if (!read) restoration.skip(frames * hop);
      const heard = read ? synthesis.push(restoration.push(read.decoded)) : synthesis.conceal(frames);
      audio.set(heard, bits.length * hop);
      bits.push(...(read ? read.spent : new Float64Array(frames)));
      progress?.(bits.length / total);
    });
    return { audio: audio.subarray(hop, hop + samples), bits, missing }; // the first hop lies before the recording
  }

  /**
   * Calls `use` with what each packet holds, null if it is not there, and the packet.
   * @param {import("../container.js").Header} header
   * @param {import("../container.js").Packet[]} packets
   * @param {(read: Read | null, packet: import("../container.js").Packet) => void} use
   */
  _read(header, packets, use) {
    const isEmpty = (/** @type {import("../container.js").Packet} */ { payload }) =>
      header.ownSteps && payload?.length === 0; // the encoder had no bits for it
    if (header.keyPackets > 1) {
      this._dependent(header, packets, isEmpty, use);
      return;
    }
    for (let start = 0; start < packets.length; start += SIDE_BY_SIDE) {
      const some = packets.slice(start, start + SIDE_BY_SIDE);
      const whole = some.filter((packet) => packet.payload && !isEmpty(packet));
      const read = this._independent(header, whole);
      for (const packet of some) use(whole.includes(packet) ? read[whole.indexOf(packet)] : null, packet);
    }
  }

  /**
   * Packets that are decodable by themselves; null for one that no encoder writes.
   * @param {import("../container.js").Header} header
   * @param {import("../container.js").Packet[]} packets
   * @returns {(Read | null)[]}
   */
  _independent(header, packets) {
    if (!packets.length) return [];
    try {
      return this.packets.decode(header, packets, this.packets.start(header, packets.length));
    } catch (error) {
      if (!(error instanceof DamagedPacketError)) throw error;
      return packets.length > 1 ? packets.flatMap((packet) => this._independent(header, [packet])) : [null];
    }
  }

  /**
   * Packets each of which goes on from the one before, up to the next key packet, one that is empty or the end of a pause;
   * after a lost one the rest is lost.
   * @param {import("../container.js").Header} header
   * @param {import("../container.js").Packet[]} packets
   * @param {(packet: import("../container.js").Packet) => boolean} isEmpty
   * @param {(read: Read | null, packet: import("../container.js").Packet) => void} use
   */
  _dependent(header, packets, isEmpty, use) {
    let [walk, broken] = [this.packets.start(header, 1), false];
    for (const packet of packets) {
      if (packet.number % header.keyPackets === 0 || (header.dtx && resumes(packet.payload)))
        [walk, broken] = [this.packets.start(header, 1), false];
      /** @type {Read | null} */
      let read = null;
      if (isEmpty(packet)) {
        [walk, broken] = [this.packets.start(header, 1), false]; // the next packet starts afresh
      } else {
        try {
          if (packet.payload && !broken) [read] = this.packets.decode(header, [packet], walk);
        } catch (error) {
          if (!(error instanceof DamagedPacketError)) throw error;
        }
        broken = !read;
      }
      use(read, packet);
    }
  }
}
