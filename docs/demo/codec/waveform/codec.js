/** The waveform codec: speech to packets of integers and back. */
import { PACKET_SECONDS, WAVEFORM, writeHeader, writePacket } from "../container.js";
import { DamagedPacketError } from "../errors.js";
import { MDCT } from "../mdct.js";
import { RangeDecoder, RangeEncoder } from "../range_coder.js";
import { Bands } from "./bands.js";
import { ContextModel, Walk } from "./context.js";
import { Restoration } from "./enhancer.js";
import { IntegerCoder } from "./entropy.js";
import { BANDS, FULL_SHAPING, GROUP, LEVEL_HISTORY, PASSES } from "./grids.js";
import { LevelCoder } from "./levels.js";
import { Quantizer } from "./quantization.js";
import { toKbps } from "./search.js";

const SIDE_BY_SIDE = 8; // packets that go through the network at once

/** @typedef {{step: number, shaping: number}} Settings */
/** @typedef {{decoded: import("./enhancer.js").Decoded, spent: Float64Array}} Read frames, and the bits of each of them */

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
    this._bands = new Bands(this.hop);
    this._context = new ContextModel(model, this._bands.centres);
    this._levels = new LevelCoder(model);
    this._integers = new IntegerCoder(model.tensor("frequencies"));
    this._quantizer = new Quantizer(model);
  }

  /**
   * The parts of the file of speech at the codec's rate.
   * @param {Float32Array} audio
   * @param {{step: number} | {kbps: number}} target a quantiser step, 0 to 1023, finer by 6 dB every 64; or the rate of the file
   * @param {number} perception 0: least squared error; 1: noise hidden below speech
   * @param {(share: number) => void} [progress] of coding at one step; a search may start again
   */
  encode(audio, target, perception, progress = () => {}) {
    const shaping = Math.ceil(FULL_SHAPING * perception);
    const frames = new MDCT(this.hop).analyse(audio);
    const encodeAt = (/** @type {number} */ step) => this._file(frames, audio.length, { step, shaping }, progress);
    if ("step" in target) return encodeAt(target.step);
    if (audio.every((sample) => sample === 0)) return encodeAt(0);
    return toKbps(this, audio, target.kbps, shaping, (step) => {
      const data = encodeAt(step);
      return { data, size: data.reduce((sum, part) => sum + part.length, 0) };
    });
  }

  /**
   * @param {Float64Array} frames [frames, hop] of the recording
   * @param {number} samples
   * @param {Settings} settings
   * @param {(share: number) => void} progress
   */
  _file(frames, samples, settings, progress) {
    const packetFrames = Math.round((PACKET_SECONDS * this.sampleRate) / this.hop);
    const parts = [
      writeHeader({
        mode: WAVEFORM,
        model: this.id,
        sampleRate: this.sampleRate,
        samples,
        packetFrames,
        keyPackets: 1,
        settings: [settings.step, settings.shaping],
      }),
    ];
    const size = packetFrames * this.hop;
    for (let start = 0; start < frames.length; start += SIDE_BY_SIDE * size) {
      const packets = [];
      for (let own = start; own < Math.min(start + SIDE_BY_SIDE * size, frames.length); own += size)
        packets.push(frames.subarray(own, Math.min(own + size, frames.length)));
      for (const payload of this.encodePackets(packets, settings)) parts.push(writePacket(parts.length - 1, payload));
      progress(Math.min((start + SIDE_BY_SIDE * size) / frames.length, 1));
    }
    return parts;
  }

  /**
   * What frames [frames, hop] of a packet are quantised with.
   * @param {Float64Array} frames
   * @param {Settings} settings
   */
  grid(frames, settings) {
    const levels = settings.shaping ? this._bands.measure(frames) : new Int32Array();
    return this._bands.grid(settings, levels, frames.length / this.hop);
  }

  /**
   * Packets of frames [frames, hop] to payloads.
   * @param {Float64Array[]} packets
   * @param {Settings} settings
   */
  encodePackets(packets, settings) {
    const grids = packets.map((packet) => this.grid(packet, settings));
    const coders = grids.map(({ levels }) => {
      const coder = new RangeEncoder();
      this._levels.each(levels, (place, begins) => coder.symbol(levels[place], begins), new Int32Array());
      return coder;
    });
    this._walked(new Walk(this._context, settings, packets.length), grids, (packet, kinds, bins) => {
      const values = kinds.map((kind, i) =>
        this._quantizer.quantize(packets[packet][bins(i)] / grids[packet].steps[bins(i)], kind),
      );
      this._integers.write(coders[packet], values, kinds);
      return values;
    });
    return coders.map((coder) => coder.bytes());
  }

  /**
   * The audio of packets, of so many samples, and the bits that each frame costs; silence where a packet is lost.
   * @param {import("../container.js").Header} header
   * @param {import("../container.js").Packet[]} packets
   * @param {number} samples
   * @param {boolean} enhance whether a network improves the sound of a file made with perception
   * @param {(share: number) => void} [progress]
   */
  decode({ settings: [step, shaping], keyPackets }, packets, samples, enhance, progress = () => {}) {
    const { hop } = this;
    const settings = { step, shaping };
    const restoration = new Restoration(enhance && shaping ? this._enhancer : null, hop);
    const transform = new MDCT(hop);
    const frames = packets.reduce((sum, packet) => sum + packet.frames, 0);
    const audio = new Float32Array(frames * hop);
    let place = 0;
    /** @type {number[]} */
    const bits = [];
    const heard = (/** @type {Read} */ { decoded, spent }) => {
      audio.set(transform.synthesise(restoration.push(decoded)), place);
      place += decoded.steps.length;
      bits.push(...spent);
      progress(place / audio.length);
    };
    if (keyPackets === 1)
      for (let start = 0; start < packets.length; start += SIDE_BY_SIDE)
        this._independent(packets.slice(start, start + SIDE_BY_SIDE), settings).forEach(heard);
    else this._dependent(packets, settings, keyPackets, heard);
    return { audio: audio.subarray(hop, hop + samples), bits }; // the first hop lies before the recording
  }

  /**
   * Packets that are decodable by themselves.
   * @param {import("../container.js").Packet[]} packets
   * @param {Settings} settings
   * @returns {Read[]}
   */
  _independent(packets, settings) {
    const intact = packets.filter(({ payload }) => payload);
    try {
      const decoded = intact.length
        ? this._decoded(intact, settings, new Walk(this._context, settings, intact.length)).values()
        : [].values();
      return packets.map(({ payload, frames }) => (payload && decoded.next().value) || nothing(frames, this.hop));
    } catch (error) {
      if (!(error instanceof DamagedPacketError)) throw error;
      if (packets.length === 1) return [nothing(packets[0].frames, this.hop)];
      return packets.flatMap((packet) => this._independent([packet], settings));
    }
  }

  /**
   * Packets each of which goes on from the one before, up to the next key packet; after a lost one the rest is lost.
   * @param {import("../container.js").Packet[]} packets
   * @param {Settings} settings
   * @param {number} keyPackets
   * @param {(read: Read) => void} heard
   */
  _dependent(packets, settings, keyPackets, heard) {
    let [walk, broken] = [new Walk(this._context, settings, 1), false];
    for (const packet of packets) {
      if (packet.number % keyPackets === 0) [walk, broken] = [new Walk(this._context, settings, 1), false];
      let read = nothing(packet.frames, this.hop);
      try {
        broken ||= !packet.payload;
        if (!broken) [read] = this._decoded([packet], settings, walk);
      } catch (error) {
        if (!(error instanceof DamagedPacketError)) throw error;
        broken = true;
      }
      heard(read);
    }
  }

  /**
   * Intact packets, which go on where the walk is, to what they hold.
   * @param {import("../container.js").Packet[]} packets
   * @param {Settings} settings
   * @param {Walk} walk
   * @returns {Read[]}
   */
  _decoded(packets, settings, walk) {
    const coders = packets.map(({ payload }) => new RangeDecoder(/** @type {Uint8Array} */ (payload)));
    const grids = packets.map(({ frames }, packet) => {
      const levels = new Int32Array(settings.shaping ? Math.ceil(frames / GROUP) * BANDS : 0);
      const read = (/** @type {number} */ place, /** @type {Float64Array} */ begins) => {
        levels[place] = coders[packet].symbol(begins);
      };
      this._levels.each(levels, read, walk.levels[packet]);
      walk.levels[packet] = Int32Array.of(...walk.levels[packet], ...levels).slice(-LEVEL_HISTORY * BANDS);
      return this._bands.grid(settings, levels, frames);
    });
    const read = grids.map(({ steps }, packet) => {
      const spent = new Float64Array(packets[packet].frames);
      spent.fill(coders[packet].spent() / spent.length); // on levels
      return { integers: new Int32Array(steps.length), kinds: new Int32Array(steps.length), spent };
    });
    this._walked(walk, grids, (packet, kinds, bins) => {
      const values = this._integers.read(coders[packet], kinds);
      kinds.forEach((kind, i) => {
        read[packet].kinds[bins(i)] = kind;
        read[packet].integers[bins(i)] = values[i];
      });
      read[packet].spent[Math.floor(bins(0) / this.hop)] += coders[packet].spent();
      return values;
    });
    const bands = settings.shaping ? this._bands : null;
    return read.map(({ integers, kinds, spent }, packet) => ({
      decoded: this._quantizer.expand(integers, kinds, grids[packet], bands),
      spent,
    }));
  }

  /**
   * Takes packets through the network, frame after frame and pass after pass. `code` gets a packet, the kinds of distribution of
   * a pass and what tells the place of each in the packet, and returns the integers.
   * @param {Walk} walk
   * @param {import("./bands.js").Grid[]} grids
   * @param {(packet: number, kinds: Int32Array, bins: (i: number) => number) => Int32Array} code
   */
  _walked(walk, grids, code) {
    const { hop } = this;
    const counts = grids.map(({ steps }) => steps.length / hop);
    const [none, most] = [new Float64Array(hop), Math.max(...counts)];
    for (let frame = 0; frame < most; frame++) {
      const expected = grids.map((grid, packet) =>
        frame < counts[packet] ? grid.expected.subarray(frame * hop, (frame + 1) * hop) : none,
      );
      const values = grids.map(() => new Int32Array(hop));
      PASSES.forEach(([start, stride], number) => {
        walk.kinds(number, expected, values).forEach((kinds, packet) => {
          if (frame >= counts[packet]) return;
          const coded = code(packet, kinds, (i) => frame * hop + start + i * stride);
          coded.forEach((value, i) => (values[packet][start + i * stride] = value));
        });
      });
      walk.push(values);
    }
  }
}

/**
 * Silence in the place of lost frames.
 * @param {number} frames
 * @param {number} hop
 * @returns {Read}
 */
function nothing(frames, hop) {
  const [coefficients, amplitude, steps] = [1, 2, 3].map(() => new Float64Array(frames * hop));
  return { decoded: { coefficients, amplitude, steps }, spent: new Float64Array(frames) };
}
