/** The networks that make the sound: causal ConvNeXt blocks (`telucodec.networks.tokens.blocks`). */
import { linear } from "./layers.js";

/** A stack of blocks between two linear layers. What it has to know of the frames before is the recording's. */
export class CausalStack {
  /**
   * @param {import("./models.js").Model} model
   * @param {string} name of the stack in the model
   */
  constructor(model, name) {
    this._first = linear(model, `${name}.0`);
    this._blocks = [];
    let number = 1;
    for (; model.has(`${name}.${number}.norm.weight`); number++)
      this._blocks.push(new Block(model, `${name}.${number}`));
    this._last = linear(model, `${name}.${number}`);
  }

  /** The past of a recording at its start. */
  start() {
    return this._blocks.map((block) => new Float64Array(block.reach));
  }

  /**
   * Frames [frames, inputs] to [frames, outputs].
   * @param {Float64Array} frames
   * @param {Float64Array[]} past from `start`, moves on
   */
  run(frames, past) {
    let x = this._first.run(frames);
    this._blocks.forEach((block, number) => (x = block.run(x, past[number])));
    return this._last.run(x);
  }
}

const NORM_EPSILON = 1e-5;

class Block {
  /**
   * @param {import("./models.js").Model} model
   * @param {string} name
   */
  constructor(model, name) {
    const {
      data,
      shape: [channels, , kernel],
    } = model.tensor(`${name}.depthwise.weight`);
    this._channels = channels;
    this._kernel = kernel;
    this._taps = data;
    this._bias = model.tensor(`${name}.depthwise.bias`).data;
    this._gain = model.tensor(`${name}.norm.weight`).data;
    this._shift = model.tensor(`${name}.norm.bias`).data;
    this._expand = linear(model, `${name}.expand`);
    this._reduce = linear(model, `${name}.reduce`);
    this._scale = model.tensor(`${name}.scale`).data;
    this.reach = (kernel - 1) * channels; // values of earlier frames that it sees
  }

  /**
   * @param {Float64Array} x
   * @param {Float64Array} past
   */
  run(x, past) {
    const line = new Float64Array(past.length + x.length);
    line.set(past);
    line.set(x, past.length);
    past.set(line.subarray(x.length));
    const wide = this._expand.run(this._normalised(line, x.length));
    for (let i = 0; i < wide.length; i++) wide[i] = gelu(wide[i]);
    const change = this._reduce.run(wide);
    for (let i = 0; i < change.length; i++) change[i] = x[i] + this._scale[i % this._channels] * change[i];
    return change;
  }

  /**
   * The depthwise convolution of a line, then a layer norm over channels.
   * @param {Float64Array} line
   * @param {number} length of what is new
   */
  _normalised(line, length) {
    const [channels, kernel, taps] = [this._channels, this._kernel, this._taps];
    const mixed = new Float64Array(length);
    for (let frame = 0; frame < length; frame += channels) {
      let [total, squares] = [0, 0];
      for (let channel = 0; channel < channels; channel++) {
        let sum = this._bias[channel];
        for (let tap = 0; tap < kernel; tap++)
          sum += line[frame + tap * channels + channel] * taps[channel * kernel + tap];
        mixed[frame + channel] = sum;
        total += sum;
      }
      const mean = total / channels;
      for (let channel = 0; channel < channels; channel++) squares += (mixed[frame + channel] - mean) ** 2;
      const factor = 1 / Math.sqrt(squares / channels + NORM_EPSILON);
      for (let channel = 0; channel < channels; channel++)
        mixed[frame + channel] = (mixed[frame + channel] - mean) * factor * this._gain[channel] + this._shift[channel];
    }
    return mixed;
  }
}

const ERF_STEPS = 64; // of the table in each unit: cubic interpolation errs by less than 1e-9
const ERF_END = 6; // from here on, 1

/** @type {Float64Array} */
const ERF = Float64Array.from({ length: ERF_STEPS * ERF_END + 2 }, (_, place) => {
  const x = place / ERF_STEPS;
  let [sum, term] = [0, x];
  for (let n = 1; term > 1e-17; n++) {
    sum += term;
    term *= (2 * x * x) / (2 * n + 1);
  }
  return slope(x) * sum;
});

/** The derivative of the error function. */
function slope(/** @type {number} */ x) {
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x);
}
const SLOPES = ERF.map((_, place) => slope(place / ERF_STEPS) / ERF_STEPS);

/** The error function. */
function erf(/** @type {number} */ x) {
  const place = Math.abs(x) * ERF_STEPS;
  const below = Math.floor(place);
  if (!(below < ERF_STEPS * ERF_END)) return Math.sign(x);
  const t = place - below;
  const rest = 1 - t;
  const value =
    ERF[below] * (1 + 2 * t) * rest * rest +
    ERF[below + 1] * (3 - 2 * t) * t * t +
    SLOPES[below] * t * rest * rest -
    SLOPES[below + 1] * t * t * rest;
  return x < 0 ? -value : value;
}

function gelu(/** @type {number} */ x) {
  return 0.5 * x * (1 + erf(x * Math.SQRT1_2));
}
