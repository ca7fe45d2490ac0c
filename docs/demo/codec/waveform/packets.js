/** Packets of frames to payloads and back (`telucodec.waveform.packets`). */
import { RangeDecoder, RangeEncoder } from "../range_coder.js";
import { Bands } from "./bands.js";
import { ContextModel, Walk } from "./context.js";
import { IntegerCoder } from "./entropy.js";
import { BANDS, GROUP, PASSES } from "./grids.js";
import { LevelCoder } from "./levels.js";
import { readStep, writeStep } from "./own_steps.js";
import { Quantizer } from "./quantization.js";

/** @typedef {{step: number, shaping: number}} Settings */
/** @typedef {{decoded: import("./enhancer.js").Decoded, spent: Float64Array}} Read frames, and the bits of each of them */

/** Codes packets with the networks and tables of one model. */
export class Packets {
  constructor(/** @type {import("../models.js").Model} */ model) {
    this.hop = model.shape.hop;
    this._bands = new Bands(this.hop);
    this._context = new ContextModel(model, this._bands.centres);
    this._levels = new LevelCoder(model);
    this._integers = new IntegerCoder(model.tensor("frequencies"));
    this._quantizer = new Quantizer(model);
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
   * Packets of frames [frames, hop] to payloads, the bits that their frames cost, and what a decoder reads from them.
   * @param {Float64Array[]} packets
   * @param {Settings} settings
   * @param {Walk} [walk] where they go on from; it moves
   * @param {boolean} [ownSteps] whether they say at which step they are quantised
   */
  encode(packets, settings, walk = new Walk(this._context, settings, packets.length), ownSteps = false) {
    const grids = packets.map((packet) => this.grid(packet, settings));
    const coders = grids.map(({ levels }, packet) => {
      const coder = new RangeEncoder();
      if (ownSteps) writeStep(coder, walk.steps[packet], settings.step);
      this._levels.each(levels, (place, begins) => coder.symbol(levels[place], begins), walk.levels[packet]);
      walk.begin(packet, settings.step, levels);
      return coder;
    });
    const kept = grids.map((grid, packet) => emptyPacket(grid, this.hop, coders[packet]));
    this._walked(walk, grids, (packet, kinds, bins) => {
      const values = kinds.map((kind, i) =>
        this._quantizer.quantize(packets[packet][bins(i)] / grids[packet].steps[bins(i)], kind),
      );
      this._integers.write(coders[packet], values, kinds);
      keep(kept[packet], values, kinds, bins);
      kept[packet].spent[Math.floor(bins(0) / this.hop)] += coders[packet].spent();
      return values;
    });
    return {
      payloads: coders.map((coder) => coder.bytes()),
      bits: kept.map(({ spent }) => spent),
      read: () => this._expanded(kept, grids, settings.shaping),
    };
  }

  /**
   * What packets hold.
   * @param {ReturnType<typeof emptyPacket>[]} packets
   * @param {import("./bands.js").Grid[]} grids
   * @param {number} shaping
   * @returns {Read[]}
   */
  _expanded(packets, grids, shaping) {
    const bands = shaping ? this._bands : null;
    return packets.map(({ integers, kinds, spent }, packet) => ({
      decoded: this._quantizer.expand(integers, kinds, grids[packet], bands),
      spent,
    }));
  }

  /**
   * Where packets of a file begin, so many side by side.
   * @param {import("../header.js").Header} header
   * @param {number} packets
   */
  start({ settings: [step, shaping] }, packets) {
    return new Walk(this._context, { step, shaping }, packets);
  }

  /**
   * Intact packets, which go on where the walk is, to what they hold.
   * @param {import("../header.js").Header} header
   * @param {import("../container.js").Packet[]} packets
   * @param {Walk} walk
   * @returns {Read[]}
   */
  decode({ settings: [, shaping], ownSteps }, packets, walk) {
    const coders = packets.map(({ payload }) => new RangeDecoder(/** @type {Uint8Array} */ (payload)));
    const grids = packets.map(({ frames }, packet) => {
      const step = ownSteps ? readStep(coders[packet], walk.steps[packet]) : walk.steps[packet];
      const levels = new Int32Array(shaping ? Math.ceil(frames / GROUP) * BANDS : 0);
      const read = (/** @type {number} */ place, /** @type {Float64Array} */ begins) => {
        levels[place] = coders[packet].symbol(begins);
      };
      this._levels.each(levels, read, walk.levels[packet]);
      walk.begin(packet, step, levels);
      return this._bands.grid({ step, shaping }, levels, frames);
    });
    const read = grids.map((grid, packet) => emptyPacket(grid, this.hop, coders[packet]));
    this._walked(walk, grids, (packet, kinds, bins) => {
      const values = this._integers.read(coders[packet], kinds);
      keep(read[packet], values, kinds, bins);
      read[packet].spent[Math.floor(bins(0) / this.hop)] += coders[packet].spent();
      return values;
    });
    return this._expanded(read, grids, shaping);
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
      const values = counts.filter((count) => frame < count).map(() => new Int32Array(hop)); // only the last may be shorter
      PASSES.forEach(([start, stride], number) => {
        walk.kinds(number, expected, values).forEach((kinds, packet) => {
          const coded = code(packet, kinds, (i) => frame * hop + start + i * stride);
          coded.forEach((value, i) => (values[packet][start + i * stride] = value));
        });
      });
      walk.push(values);
    }
  }
}

/**
 * The integers of a packet, and their kinds of distribution, before any is known; and the bits of its frames, which share what its
 * coder has spent so far, on step and levels.
 * @param {import("./bands.js").Grid} grid
 * @param {number} hop
 * @param {{spent: () => number}} coder
 */
function emptyPacket({ steps }, hop, coder) {
  const frames = steps.length / hop;
  return {
    integers: new Int32Array(steps.length),
    kinds: new Int32Array(steps.length),
    spent: new Float64Array(frames).fill(coder.spent() / frames),
  };
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
