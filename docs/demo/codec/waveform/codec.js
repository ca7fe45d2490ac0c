/** The waveform codec: speech to packets of integers and back. */
import { PACKET_SECONDS, WAVEFORM, writeHeader, writePacket } from "../container.js";
import { DamagedPacketError } from "../errors.js";
import { MDCT } from "../mdct.js";
import { RangeDecoder, RangeEncoder } from "../range_coder.js";
import { Bands } from "./bands.js";
import { Synthesis } from "./concealment.js";
import { ContextModel, Walk } from "./context.js";
import { Background, resumes } from "./dtx.js";
import { Restoration } from "./enhancer.js";
import { IntegerCoder } from "./entropy.js";
import { BANDS, FULL_SHAPING, GROUP, LEVEL_HISTORY, PASSES } from "./grids.js";
import { LevelCoder } from "./levels.js";
import { Listener } from "./listener.js";
import { readStep } from "./own_steps.js";
import { Quantizer } from "./quantization.js";
import { toKbps, toSnr } from "./search.js";

const SIDE_BY_SIDE = 8; // packets that go through the network at once

/** @typedef {{step: number, shaping: number}} Settings */
/**
 * A quantiser step, 0 to 1023, finer by 6 dB every 64; or the rate of the file in kbit/s; or its SNR in dB.
 * @typedef {{step: number} | {kbps: number} | {snr: number}} Target
 */
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
   * @param {Target} target
   * @param {number} perception 0: least squared error; 1: noise hidden below speech
   * @param {(share: number) => void} [progress] of coding at one step; a search may start again
   */
  encode(audio, target, perception, progress = () => {}) {
    const shaping = Math.ceil(FULL_SHAPING * perception);
    const frames = new MDCT(this.hop).analyse(audio);
    const encodeAt = (/** @type {number} */ step) => {
      const listener = "snr" in target ? new Listener(this.restoration({ step, shaping }), audio, this.hop) : null;
      const data = this._file(frames, audio.length, { step, shaping }, progress, listener);
      return { data, size: data.reduce((sum, part) => sum + part.length, 0), error: listener?.error ?? 0 };
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
   */
  _file(frames, samples, settings, progress, listener) {
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
        ownSteps: false,
        dtx: false,
      }),
    ];
    const size = packetFrames * this.hop;
    for (let start = 0; start < frames.length; start += SIDE_BY_SIDE * size) {
      const packets = [];
      for (let own = start; own < Math.min(start + SIDE_BY_SIDE * size, frames.length); own += size)
        packets.push(frames.subarray(own, Math.min(own + size, frames.length)));
      const { payloads, decoded } = this.encodePackets(packets, settings);
      for (const payload of payloads) parts.push(writePacket(parts.length - 1, payload));
      if (listener) decoded().forEach((read) => listener.push(read));
      progress(Math.min((start + SIDE_BY_SIDE * size) / frames.length, 1));
    }
    return parts;
  }

  /** What makes sound of what is read at some settings. */
  restoration(/** @type {Settings} */ { shaping }) {
    return new Restoration(shaping ? this._enhancer : null, this.hop);
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
   * Packets of frames [frames, hop] to payloads, and what a decoder reads from them.
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
    const kept = grids.map(emptyPacket);
    this._walked(new Walk(this._context, settings, packets.length), grids, (packet, kinds, bins) => {
      const values = kinds.map((kind, i) =>
        this._quantizer.quantize(packets[packet][bins(i)] / grids[packet].steps[bins(i)], kind),
      );
      this._integers.write(coders[packet], values, kinds);
      keep(kept[packet], values, kinds, bins);
      return values;
    });
    const bands = settings.shaping ? this._bands : null;
    return {
      payloads: coders.map((coder) => coder.bytes()),
      decoded: () =>
        kept.map(({ integers, kinds }, packet) => this._quantizer.expand(integers, kinds, grids[packet], bands)),
    };
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
  decode(header, packets, samples, enhance, progress = () => {}) {
    const { hop } = this;
    const restoration = new Restoration(enhance && header.settings[1] ? this._enhancer : null, hop);
    const synthesis = new Synthesis(hop);
    const background = header.dtx ? new Background(hop) : null;
    const audio = new Float32Array(packets.reduce((sum, { frames }) => sum + frames, 0) * hop);
    /** @type {number[]} */
    const bits = [];
    let missing = 0;
    this._read(header, packets, (read, { payload, frames }) => {
      if (read) background?.push(read.decoded);
      else if (background?.isKnown) read = { decoded: background.noise(frames), spent: new Float64Array(frames) };
      else missing += +!payload;
      if (!read) restoration.skip(frames * hop);
      const heard = read ? synthesis.push(restoration.push(read.decoded)) : synthesis.conceal(frames);
      audio.set(heard, bits.length * hop);
      bits.push(...(read ? read.spent : new Float64Array(frames)));
      progress((bits.length * hop) / audio.length);
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
      return this._decoded(header, packets, this._start(header, packets.length));
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
    let [walk, broken] = [this._start(header, 1), false];
    for (const packet of packets) {
      if (packet.number % header.keyPackets === 0 || (header.dtx && resumes(packet.payload)))
        [walk, broken] = [this._start(header, 1), false];
      /** @type {Read | null} */
      let read = null;
      if (isEmpty(packet)) {
        [walk, broken] = [this._start(header, 1), false]; // the next packet starts afresh
      } else {
        try {
          if (packet.payload && !broken) [read] = this._decoded(header, [packet], walk);
        } catch (error) {
          if (!(error instanceof DamagedPacketError)) throw error;
        }
        broken = !read;
      }
      use(read, packet);
    }
  }

  /**
   * @param {import("../container.js").Header} header
   * @param {number} packets
   */
  _start({ settings: [step, shaping] }, packets) {
    return new Walk(this._context, { step, shaping }, packets);
  }

  /**
   * Intact packets, which go on where the walk is, to what they hold.
   * @param {import("../container.js").Header} header
   * @param {import("../container.js").Packet[]} packets
   * @param {Walk} walk
   * @returns {Read[]}
   */
  _decoded({ settings: [, shaping], ownSteps }, packets, walk) {
    const coders = packets.map(({ payload }) => new RangeDecoder(/** @type {Uint8Array} */ (payload)));
    if (ownSteps) walk.steps = walk.steps.map((before, packet) => readStep(coders[packet], before));
    const grids = packets.map(({ frames }, packet) => {
      const levels = new Int32Array(shaping ? Math.ceil(frames / GROUP) * BANDS : 0);
      const read = (/** @type {number} */ place, /** @type {Float64Array} */ begins) => {
        levels[place] = coders[packet].symbol(begins);
      };
      this._levels.each(levels, read, walk.levels[packet]);
      walk.levels[packet] = Int32Array.of(...walk.levels[packet], ...levels).slice(-LEVEL_HISTORY * BANDS);
      return this._bands.grid({ step: walk.steps[packet], shaping }, levels, frames);
    });
    const read = grids.map((grid, packet) => {
      const spent = new Float64Array(packets[packet].frames);
      spent.fill(coders[packet].spent() / spent.length); // on steps and levels
      return { ...emptyPacket(grid), spent };
    });
    this._walked(walk, grids, (packet, kinds, bins) => {
      const values = this._integers.read(coders[packet], kinds);
      keep(read[packet], values, kinds, bins);
      read[packet].spent[Math.floor(bins(0) / this.hop)] += coders[packet].spent();
      return values;
    });
    const bands = shaping ? this._bands : null;
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

/** The integers of a packet, and their kinds of distribution, before any is known. */
function emptyPacket(/** @type {import("./bands.js").Grid} */ { steps }) {
  return { integers: new Int32Array(steps.length), kinds: new Int32Array(steps.length) };
}

/**
 * @param {{integers: Int32Array, kinds: Int32Array}} packet
 * @param {Int32Array} values of a pass
 * @param {Int32Array} kinds
 * @param {(i: number) => number} bins the place of each in the packet
 */
function keep(packet, values, kinds, bins) {
  kinds.forEach((kind, i) => {
    packet.kinds[bins(i)] = kind;
    packet.integers[bins(i)] = values[i];
  });
}
