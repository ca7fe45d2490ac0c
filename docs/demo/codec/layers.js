/**
 * Linear layers of networks on rows of numbers. All arithmetic is float64: the sums of exact layers (`telucodec.networks.exact`)
 * are not rounded there, and those of the others less than in the float32 of ONNX Runtime.
 */

import { transposed } from "./arrays.js";

/** Halves to even, as NumPy and ONNX round; for magnitudes below 2^51. */
export function rint(/** @type {number} */ x) {
  return x + 6755399441055744 - 6755399441055744;
}

/**
 * A linear layer. Each input is added to all outputs in turn, so that the weights are read in the order in which they lie in memory;
 * inputs that are 0 are left out: after a rectifier those are most.
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
    /** The weights of each input [inputs, outputs]. */
    this.columns = transposed(weight, this.inputs);
    this.bias = bias ? new Float64Array(bias) : new Float64Array(outputs);
    this._places = new Int32Array(this.inputs + 3); // of the columns of inputs that are not 0
    this._values = new Float64Array(3 * (this.inputs + 3));
  }

  /**
   * Rows [rows, inputs] to [rows, outputs]: three at a time, so that each weight that is read is used more than once.
   * @param {Float64Array} x
   */
  run(x) {
    const { inputs, outputs, bias } = this;
    const rows = x.length / inputs;
    const out = new Float64Array(rows * outputs);
    for (let row = 0; row < rows; row++) out.set(bias, row * outputs);
    let row = 0;
    for (; row + 2 < rows; row += 3) this._three(x, out, row);
    for (; row < rows; row++) this._one(x, out, row);
    return out;
  }

  /**
   * @param {Float64Array} x
   * @param {Float64Array} out
   * @param {number} row the first of three
   */
  _three(x, out, row) {
    const { inputs, outputs, columns, _places: places, _values: values } = this;
    const [first, second, third] = [row * inputs, (row + 1) * inputs, (row + 2) * inputs];
    let count = 0;
    for (let i = 0; i < inputs; i++) {
      const u = x[first + i];
      const v = x[second + i];
      const w = x[third + i];
      if (u === 0 && v === 0 && w === 0) continue;
      values[3 * count] = u;
      values[3 * count + 1] = v;
      values[3 * count + 2] = w;
      places[count++] = i * outputs;
    }
    for (; count % 4; count++) {
      values.fill(0, 3 * count, 3 * count + 3);
      places[count] = 0;
    }
    const [a, b, c] = [row * outputs, (row + 1) * outputs, (row + 2) * outputs];
    for (let k = 0; k < count; k += 4) {
      const [p, q, r, s] = [places[k], places[k + 1], places[k + 2], places[k + 3]];
      const [u0, v0, w0] = [values[3 * k], values[3 * k + 1], values[3 * k + 2]];
      const [u1, v1, w1] = [values[3 * k + 3], values[3 * k + 4], values[3 * k + 5]];
      const [u2, v2, w2] = [values[3 * k + 6], values[3 * k + 7], values[3 * k + 8]];
      const [u3, v3, w3] = [values[3 * k + 9], values[3 * k + 10], values[3 * k + 11]];
      for (let output = 0; output < outputs; output++) {
        const y0 = columns[p + output];
        const y1 = columns[q + output];
        const y2 = columns[r + output];
        const y3 = columns[s + output];
        out[a + output] = out[a + output] + u0 * y0 + u1 * y1 + u2 * y2 + u3 * y3;
        out[b + output] = out[b + output] + v0 * y0 + v1 * y1 + v2 * y2 + v3 * y3;
        out[c + output] = out[c + output] + w0 * y0 + w1 * y1 + w2 * y2 + w3 * y3;
      }
    }
  }

  /**
   * As `_three`, with the sums in the same order.
   * @param {Float64Array} x
   * @param {Float64Array} out
   * @param {number} row
   */
  _one(x, out, row) {
    const { inputs, outputs, columns, _places: places, _values: values } = this;
    let count = 0;
    for (let i = 0; i < inputs; i++) {
      const value = x[row * inputs + i];
      if (value === 0) continue;
      values[count] = value;
      places[count++] = i * outputs;
    }
    for (; count % 4; count++) values[count] = places[count] = 0;
    const a = row * outputs;
    for (let k = 0; k < count; k += 4) {
      const [p, q, r, s] = [places[k], places[k + 1], places[k + 2], places[k + 3]];
      const [u0, u1, u2, u3] = [values[k], values[k + 1], values[k + 2], values[k + 3]];
      for (let output = 0; output < outputs; output++)
        out[a + output] =
          out[a + output] +
          u0 * columns[p + output] +
          u1 * columns[q + output] +
          u2 * columns[r + output] +
          u3 * columns[s + output];
    }
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
