/**
 * Layers of networks on rows of numbers. All arithmetic is float64: the sums of exact layers (`telucodec.networks.exact`)
 * are not rounded there, and those of the others less than in the float32 of ONNX Runtime.
 */

/** Halves to even, as NumPy and ONNX round; for magnitudes below 2^51. */
export function rint(/** @type {number} */ x) {
  return x + 6755399441055744 - 6755399441055744;
}

/**
 * A linear layer.
 */
export class Linear {
  /**
   * @param {ArrayLike<number>} weight [outputs, inputs]
   * @param {ArrayLike<number> | null} bias [outputs]; null: none
   * @param {number} outputs
   */
  constructor(weight, bias, outputs) {
    this.outputs = outputs;
    this.inputs = weight.length / outputs;
    this.weight = new Float64Array(weight);
    this.bias = bias ? new Float64Array(bias) : new Float64Array(outputs);
    this._index = new Int32Array(this.inputs);
    this._seen = new Float64Array(3 * this.inputs);
  }

  /**
   * Rows [rows, inputs] to [rows, outputs]. Three rows and four outputs at a time: each number that is read is used more than once.
   * Inputs that are 0 in all three rows are left out; after a rectifier those are most.
   * @param {Float64Array} x
   * @param {Float64Array} [out]
   */
  run(x, out = new Float64Array((x.length / this.inputs) * this.outputs)) {
    const { inputs, outputs, weight, bias, _index: index, _seen: seen } = this;
    const last = x.length / inputs - 1;
    for (let row = 0; row <= last; row += 3) {
      const second = Math.min(row + 1, last); // the last row may be computed again
      const third = Math.min(row + 2, last);
      let count = 0; // of the inputs that are not 0
      for (let i = 0; i < inputs; i++) {
        const u = x[row * inputs + i];
        const v = x[second * inputs + i];
        const w = x[third * inputs + i];
        if (u === 0 && v === 0 && w === 0) continue;
        seen[3 * count] = u;
        seen[3 * count + 1] = v;
        seen[3 * count + 2] = w;
        index[count++] = i;
      }
      const [a, b, c] = [row * outputs, second * outputs, third * outputs];
      let output = 0;
      for (; output + 3 < outputs; output += 4) {
        const p = output * inputs;
        const [q, r, s] = [p + inputs, p + 2 * inputs, p + 3 * inputs];
        let [a0, a1, a2, a3] = [bias[output], bias[output + 1], bias[output + 2], bias[output + 3]];
        let [b0, b1, b2, b3] = [a0, a1, a2, a3];
        let [c0, c1, c2, c3] = [a0, a1, a2, a3];
        for (let k = 0; k < count; k++) {
          const i = index[k];
          const u = seen[3 * k];
          const v = seen[3 * k + 1];
          const w = seen[3 * k + 2];
          const w0 = weight[p + i];
          a0 += u * w0;
          b0 += v * w0;
          c0 += w * w0;
          const w1 = weight[q + i];
          a1 += u * w1;
          b1 += v * w1;
          c1 += w * w1;
          const w2 = weight[r + i];
          a2 += u * w2;
          b2 += v * w2;
          c2 += w * w2;
          const w3 = weight[s + i];
          a3 += u * w3;
          b3 += v * w3;
          c3 += w * w3;
        }
        out[c + output] = c0;
        out[c + output + 1] = c1;
        out[c + output + 2] = c2;
        out[c + output + 3] = c3;
        out[b + output] = b0;
        out[b + output + 1] = b1;
        out[b + output + 2] = b2;
        out[b + output + 3] = b3;
        out[a + output] = a0;
        out[a + output + 1] = a1;
        out[a + output + 2] = a2;
        out[a + output + 3] = a3;
      }
      for (; output < outputs; output++) {
        let [sa, sb, sc] = [bias[output], bias[output], bias[output]];
        for (let k = 0; k < count; k++) {
          const own = weight[output * inputs + index[k]];
          sa += seen[3 * k] * own;
          sb += seen[3 * k + 1] * own;
          sc += seen[3 * k + 2] * own;
        }
        out[c + output] = sc;
        out[b + output] = sb;
        out[a + output] = sa;
      }
    }
    return out;
  }
}

/**
 * A linear layer of a model by the name of its weights.
 * @param {import("./models.js").Model} model
 * @param {string} name
 */
export function linear(model, name) {
  const weight = model.tensor(`${name}.weight`);
  return new Linear(weight.data, model.tensor(`${name}.bias`).data, weight.shape[0]);
}

/**
 * A stack of causal ConvNeXt blocks between two linear layers, `telucodec.networks.tokens.blocks.CausalStack`, on one recording:
 * it remembers the frames before.
 */
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

  /** Forget the frames before. */
  reset() {
    for (const block of this._blocks) block.past.fill(0);
  }

  /** Frames [frames, inputs] to [frames, outputs]. */
  run(/** @type {Float64Array} */ frames) {
    let x = this._first.run(frames);
    for (const block of this._blocks) x = block.run(x);
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
    this.past = new Float64Array((kernel - 1) * channels);
  }

  run(/** @type {Float64Array} */ x) {
    const line = new Float64Array(this.past.length + x.length);
    line.set(this.past);
    line.set(x, this.past.length);
    this.past = line.slice(x.length);
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
export function erf(/** @type {number} */ x) {
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
