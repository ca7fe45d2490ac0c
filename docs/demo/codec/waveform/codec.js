/** The waveform codec: speech to files and back. */
import { PACKET_SECONDS, writePacket } from "../container.js";
import { WAVEFORM, writeHeader } from "../header.js";
import { CausalStack } from "../causal_stack.js";
import { rint } from "../layers.js";
import { MDCT } from "../mdct.js";
import { Restoration } from "./enhancer.js";
import { FULL_SHAPING, GROUP } from "./grids.js";
import { Listener } from "./listener.js";
import { Packets } from "./packets.js";
import { RateControl } from "./rate_control.js";
import { toKbps, toSnr } from "./search.js";
import { FrameDecoder, StreamDecoder } from "./stream_decoder.js";
import { StreamEncoder } from "./stream_encoder.js";

const SIDE_BY_SIDE = 8; // packets that go through the network at once
const LIVE_KEY_SECONDS = 1; // from one packet of a stream that is decodable by itself to the next

/** @typedef {import("./packets.js").Settings} Settings */
/** @typedef {import("./packets.js").Read} Read */
/**
 * A quantiser step, 0 to 1023, finer by 6 dB every 64; or the rate of the file in kbit/s; or its SNR in dB.
 * @typedef {{step: number} | {kbps: number} | {snr: number}} Target
 */
/**
 * A file as it is written: its bytes in parts, and what a decoder reads in its packets, some of them at a time.
 * @typedef {{parts: Uint8Array<ArrayBuffer>[], header: import("../header.js").Header & {samples: number}, reads: (() => Read[])[]}} File
 */

export class WaveformCodec {
  /**
   * @param {import("../models.js").Model} model
   * @param {import("../models.js").Model | null} enhancer
   */
  constructor(model, enhancer) {
    this._enhancer = enhancer && new CausalStack(enhancer, "network");
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
    const shaping = shapingOf(perception);
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
    const header = this._header(samples, settings, packetFrames);
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
  restoration(/** @type {Settings} */ { shaping }, enhance = true) {
    return new Restoration(enhance && shaping ? this._enhancer : null, this.hop);
  }

  /**
   * What is heard in a file just written, and the bits that each frame costs, as `decode` finds them; but the network need not say
   * again how likely every integer was.
   * @param {File} file
   * @param {(share: number) => void} [progress]
   */
  hear({ header, reads }, progress) {
    const frames = Math.ceil(header.samples / this.hop) + 1;
    return this._heard(this._decoder(header, true), frames, header.samples, progress, function* (decoder) {
      for (const read of reads) for (const packet of read()) yield decoder.hear(packet, packet.spent.length, true);
    });
  }

  /**
   * The audio of packets, of so many samples, the bits that each frame costs, and how many packets are missing. These are
   * concealed; where packets were left out in a pause, there is comfort noise.
   * @param {import("../header.js").Header} header
   * @param {import("../container.js").Packet[]} packets
   * @param {number} samples
   * @param {boolean} enhance whether a network improves the sound of a file made with perception
   * @param {(share: number) => void} [progress]
   */
  decode(header, packets, samples, enhance, progress) {
    const frames = packets.reduce((sum, packet) => sum + packet.frames, 0);
    return this._heard(this._decoder(header, enhance), frames, samples, progress, function* (decoder) {
      for (let start = 0; start < packets.length; start += SIDE_BY_SIDE)
        yield* decoder.decode(packets.slice(start, start + SIDE_BY_SIDE));
    });
  }

  /**
   * @param {FrameDecoder} decoder
   * @param {number} frames
   * @param {number} samples
   * @param {((share: number) => void) | undefined} progress
   * @param {(decoder: FrameDecoder) => Iterable<Float64Array>} each gives the audio of one packet after the other
   */
  _heard(decoder, frames, samples, progress, each) {
    const audio = new Float32Array(frames * this.hop);
    let place = 0;
    for (const heard of each(decoder)) {
      audio.set(heard, place);
      place += heard.length;
      progress?.(place / audio.length);
    }
    const { bits, missing } = decoder;
    return { audio: audio.subarray(this.hop, this.hop + samples), bits, missing }; // the first hop lies before the recording
  }

  /**
   * @param {import("../header.js").Header} header
   * @param {boolean} enhance
   */
  _decoder(header, enhance) {
    const [step, shaping] = header.settings;
    return new FrameDecoder(this.packets, header, this.restoration({ step, shaping }, enhance));
  }

  /**
   * An encoder for speech as it arrives, with a latency of 30 ms; with perception or a rate, of 45 ms.
   * @param {{step: number} | {kbps: number}} target `kbps`: a limit that no second of the stream exceeds; the step follows the speech
   * @param {number} perception
   * @throws {CodecError} the limit leaves no bits for speech
   */
  streamEncoder(target, perception) {
    const packetFrames = perception || "kbps" in target ? GROUP : 1; // two where frames share levels, or where every byte counts
    const packetSeconds = (packetFrames * this.hop) / this.sampleRate;
    const control = "kbps" in target ? new RateControl(target.kbps, packetSeconds) : null;
    const step = "step" in target ? target.step : /** @type {RateControl} */ (control).start;
    const header = {
      ...this._header(null, { step, shaping: shapingOf(perception) }, packetFrames),
      keyPackets: rint(LIVE_KEY_SECONDS / packetSeconds),
      ownSteps: control !== null,
    };
    return new StreamEncoder(this.packets, header, control);
  }

  /** A decoder for bytes as they arrive. */
  streamDecoder(enhance = true) {
    return new StreamDecoder((header) => this._decoder(header, enhance));
  }

  /**
   * @template {number | null} T
   * @param {T} samples
   * @param {Settings} settings
   * @param {number} packetFrames
   */
  _header(samples, { step, shaping }, packetFrames) {
    const { id: model, sampleRate } = this;
    const settings = [step, shaping];
    return {
      mode: WAVEFORM,
      model,
      sampleRate,
      samples,
      packetFrames,
      keyPackets: 1,
      settings,
      ownSteps: false,
      dtx: false,
    };
  }
}

function shapingOf(/** @type {number} */ perception) {
  return Math.ceil(FULL_SHAPING * perception);
}
