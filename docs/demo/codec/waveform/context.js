/**
 * The context model, which says how likely each integer of a frame is (`telucodec.networks.waveform.context`). Its
 * arithmetic is exact: activations are integers.
 */
import { ACTIVATION_BITS, ACTIVATION_LIMIT, ExactLinear, clipped, sumBits } from "../exact.js";
import { Linear, rint } from "../layers.js";
import { clip, concatenate, transposed } from "../arrays.js";
import { BANDS, LEVEL_HISTORY, PASSES, RECENT, SCALES } from "./grids.js";

const [RESIDUAL_BITS, RESIDUAL_LIMIT] = [8, 2 ** 15]; // values between the blocks: integers in units of 2^-8
const AROUND = 9; // coefficients of each recent frame that a head sees, centred on the one to predict
const KNOWN_TAPS = [0, 8, 12]; // for each pass, coefficients of earlier passes that the head sees
const LARGEST = 2047; // magnitude up to which the network tells integers apart
const AGE_LIMIT = 15;

/** The network of one model. */
export class ContextModel {
  /**
   * @param {import("../models.js").Model} model
   * @param {number[]} centres of the bands
   */
  constructor(model, centres) {
    const { hop, channels, taps, dilations } = model.shape;
    this.hop = hop;
    this.channels = channels;
    this.taps = taps;
    this.centres = centres;
    /** @type {number[]} */
    this.dilations = dilations;
    this.magnitudes = Float64Array.from(
      model.tensor("context.magnitude").data,
      (value) => value * 2 ** ACTIVATION_BITS,
    );
    this.enter = new ExactLinear(model, "context.enter", -RESIDUAL_LIMIT, RESIDUAL_LIMIT, RESIDUAL_BITS);
    this.blocks = this.dilations.map((_, number) => new Block(model, `context.blocks.${number}`));
    this.leave = new ExactLinear(model, "context.leave", -ACTIVATION_LIMIT, ACTIVATION_LIMIT);
    this.heads = PASSES.map((_, number) => new Head(model, number, hop));
  }

  /** What the network sees of an integer. */
  feature(/** @type {number} */ value) {
    return this.magnitudes[Math.min(Math.abs(value), LARGEST)];
  }
}

class Block {
  /**
   * @param {import("../models.js").Model} model
   * @param {string} name
   */
  constructor(model, name) {
    this._taps = model.tensor(`${name}.delays.weight`);
    this._bias = model.tensor(`${name}.delays.bias`).data;
    this._expand = new ExactLinear(model, `${name}.expand`, 0, ACTIVATION_LIMIT);
    this._reduce = linearIn(model, `${name}.reduce`, RESIDUAL_BITS);
  }

  /**
   * Residuals [rows, channels], which change, given their activations of now and of earlier frames, the earliest first.
   * @param {Float64Array} x
   * @param {Float64Array[]} line
   */
  run(x, line) {
    const {
      data,
      shape: [channels, taps],
    } = this._taps;
    const mixed = new Float64Array(x.length);
    for (let place = 0; place < x.length; place++) {
      const channel = place % channels;
      let sum = this._bias[channel];
      for (let tap = 0; tap < taps; tap++) sum += data[channel * taps + tap] * line[tap][place];
      mixed[place] = sum;
    }
    clipped(mixed, 2 ** (ACTIVATION_BITS - sumBits(taps)), -ACTIVATION_LIMIT, ACTIVATION_LIMIT);
    const change = this._reduce.run(this._expand.run(mixed));
    for (let place = 0; place < x.length; place++)
      x[place] = clip(rint(x[place] + change[place]), -RESIDUAL_LIMIT, RESIDUAL_LIMIT);
  }
}

/** The network over frequency for one pass. */
class Head {
  /**
   * @param {import("../models.js").Model} model
   * @param {number} number of the pass
   * @param {number} bins
   */
  constructor(model, number, bins) {
    const name = `context.heads.${number}`;
    const [start, stride] = PASSES[number];
    this._start = start;
    this._stride = stride;
    this._bins = bins;
    this._taps = KNOWN_TAPS[number];
    this.size = Math.ceil((bins - start) / stride);
    // All that a head sees of a coefficient goes through one layer.
    const parts = ["described", "recent", "expected", ...(number ? ["known"] : [])];
    this._first = joined(parts.map((part) => linearIn(model, `${name}.${part}`, ACTIVATION_BITS)));
    this._middle = new ExactLinear(model, `${name}.middle`, 0, ACTIVATION_LIMIT);
    this._last = linearIn(model, `${name}.last`, 0);
    this._features = model.tensor(`${name}.described.weight`).shape[1];
  }

  /**
   * The kinds of distribution [size] for the coefficients of this pass in one frame.
   * @param {Float64Array} features [size, features] from the trunk
   * @param {Float64Array} recent [RECENT, bins], the frames before
   * @param {Float64Array} expected [bins]
   * @param {(place: number) => number} known features of the coefficients of earlier passes, 0 beyond the ends
   */
  run(features, recent, expected, known) {
    const { size, _bins: bins, _features: count } = this;
    const seen = new Float64Array(size * this._first.inputs);
    let place = 0;
    for (let row = 0; row < size; row++) {
      for (let i = 0; i < count; i++) seen[place++] = features[row * count + i];
      const start = this._start + row * this._stride - (AROUND >> 1);
      for (let line = 0; line <= RECENT; line++)
        for (let bin = start; bin < start + AROUND; bin++, place++)
          if (0 <= bin && bin < bins) seen[place] = line < RECENT ? recent[line * bins + bin] : expected[bin];
      for (let tap = 0; tap < this._taps; tap++) seen[place++] = known(row - this._taps / 2 + 1 + tap);
    }
    const hidden = clipped(this._first.run(seen), 1, 0, ACTIVATION_LIMIT);
    const outputs = this._last.run(this._middle.run(hidden));
    return Int32Array.from({ length: size }, (_, row) => {
      const scale = clip(rint(outputs[2 * row] * 16 - 8), SCALES.low, SCALES.high);
      const wide = clip(rint(outputs[2 * row + 1] * 8 + 2), 0, SCALES.wide);
      return (scale - SCALES.low) * SCALES.wides + wide;
    });
  }
}

/**
 * A layer whose outputs for integer activations are in units of 2^-bits, not rounded; of a convolution the kernels lie in a row.
 * @param {import("../models.js").Model} model
 * @param {string} name
 * @param {number} bits
 */
function linearIn(model, name, bits) {
  const [weight, bias] = [model.tensor(`${name}.weight`), model.tensor(`${name}.bias`)];
  const outputs = weight.shape[0];
  const unit = 2 ** (bits - sumBits(weight.data.length / outputs));
  const scaled = (/** @type {ArrayLike<number>} */ values) => new Float64Array(values).map((value) => value * unit);
  return new Linear(scaled(weight.data), scaled(bias.data), outputs);
}

/** The sum of layers, as one layer of their inputs side by side. */
function joined(/** @type {Linear[]} */ layers) {
  const { outputs } = layers[0];
  const columns = concatenate(
    Float64Array,
    layers.map((layer) => layer.columns),
  );
  const bias = Array.from({ length: outputs }, (_, output) =>
    layers.reduce((sum, layer) => sum + layer.bias[output], 0),
  );
  return new Linear(transposed(columns, outputs), bias, outputs);
}

/**
 * Packets side by side, frame after frame; remembers what the network needs of the frames so far. For each frame call
 * `kinds` for every pass in turn, then `push`.
 */
export class Walk {
  /**
   * @param {ContextModel} model
   * @param {{step: number, shaping: number}} settings
   * @param {number} packets
   */
  constructor(model, { step, shaping }, packets) {
    this._model = model;
    this._packets = packets;
    this._age = 0;
    this._shaping = shaping;
    /** Of each packet, that of the one before, until it has begun. */
    this.steps = new Array(packets).fill(step);
    this._recent = Array.from({ length: packets }, () => new Float64Array(RECENT * model.hop));
    /** For each block its activations in earlier frames, the latest last. */
    this._past = model.blocks.map(
      (_, block) =>
        /** @type {Float64Array[]} */ (
          Array.from(
            { length: (model.taps - 1) * model.dilations[block] },
            () => new Float64Array(packets * model.channels),
          )
        ),
    );
    /** For each packet the levels of the groups before, up to LEVEL_HISTORY of them, where it goes on from another packet. */
    this.levels = Array.from({ length: packets }, () => new Int32Array());
    /** @type {Float64Array} */
    this._described = new Float64Array();
  }

  /**
   * The same state, to go on from twice.
   * @returns {Walk}
   */
  copy() {
    const twin = Object.assign(Object.create(Walk.prototype), this);
    twin.steps = [...this.steps];
    twin.levels = [...this.levels];
    twin._recent = this._recent.map((frames) => frames.slice());
    twin._past = this._past.map((line) => [...line]);
    return twin;
  }

  /**
   * A packet begins, at a step and with levels; those of its last groups are kept for the packet that goes on from it.
   * @param {number} packet
   * @param {number} step
   * @param {Int32Array} levels [groups, BANDS]
   */
  begin(packet, step, levels) {
    this.steps[packet] = step;
    this.levels[packet] = Int32Array.of(...this.levels[packet], ...levels).slice(-LEVEL_HISTORY * BANDS);
  }

  /**
   * The kinds of distribution of pass `number`, [bins of the pass] for each packet.
   * @param {number} number
   * @param {Float64Array[]} expected for each packet [bins]
   * @param {Int32Array[]} values for each packet the integers [bins] of the frame; those of earlier passes are read
   */
  kinds(number, expected, values) {
    const model = this._model;
    if (number === 0) this._described = this._describe(expected);
    const head = model.heads[number];
    const width = this._described.length / this._packets;
    const start = model.heads.slice(0, number).reduce((sum, { size }) => sum + size, 0) * (width / model.hop);
    const stride = number === 2 ? 2 : 4; // of the coefficients that earlier passes have decoded
    return values.map((own, packet) => {
      const from = packet * width + start;
      const known = (/** @type {number} */ place) =>
        0 <= place && place * stride < model.hop ? model.feature(own[place * stride]) : 0;
      return head.run(
        this._described.subarray(from, from + head.size * (width / model.hop)),
        this._recent[packet],
        expected[packet],
        known,
      );
    });
  }

  /** What the trunk says about the coming frame of each packet: [packets, bins * features], pass after pass. */
  _describe(/** @type {Float64Array[]} */ expected) {
    const model = this._model;
    const age = Math.min(this._age, AGE_LIMIT) * 2 ** (ACTIVATION_BITS - 3);
    const seen = new Float64Array(this._packets * model.enter.inputs);
    this._recent.forEach((recent, packet) => {
      const own = [...model.centres.map((bin) => expected[packet][bin]), ...this._conditions(packet), age];
      seen.set(recent, packet * model.enter.inputs);
      seen.set(own, packet * model.enter.inputs + recent.length);
    });
    const x = model.enter.run(seen);
    model.blocks.forEach((block, number) => {
      const past = this._past[number];
      past.push(clipped(x.slice(), 2 ** (ACTIVATION_BITS - RESIDUAL_BITS), -ACTIVATION_LIMIT, ACTIVATION_LIMIT));
      block.run(
        x,
        past.filter((_, place) => place % model.dilations[number] === 0),
      );
      past.shift();
    });
    return model.leave.run(clipped(x, 2 ** (ACTIVATION_BITS - RESIDUAL_BITS), 0, ACTIVATION_LIMIT));
  }

  /** How a packet is quantised, as activations. */
  _conditions(/** @type {number} */ packet) {
    return [this.steps[packet] / 256 - 2, this._shaping / 4].map((value) =>
      clip(rint(value * 2 ** ACTIVATION_BITS), -ACTIVATION_LIMIT, ACTIVATION_LIMIT),
    );
  }

  /** The integers [bins] of the frame of each packet are known. */
  push(/** @type {Int32Array[]} */ values) {
    const { hop } = this._model;
    values.forEach((own, packet) => {
      this._recent[packet].copyWithin(0, hop);
      for (let bin = 0; bin < hop; bin++)
        this._recent[packet][(RECENT - 1) * hop + bin] = this._model.feature(own[bin]);
    });
    this._age++;
  }
}
