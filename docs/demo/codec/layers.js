/**
 * Linear layers of networks on rows of numbers. All arithmetic is float64: the sums of exact layers (`telucodec.networks.exact`)
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
   * Rows [rows, inputs] to [rows, outputs].
   * @param {Float64Array} x
   * @param {Float64Array} [out]
   */
  run(x, out = new Float64Array((x.length / this.inputs) * this.outputs)) {
    const rows = x.length / this.inputs;
    const many = rows - (rows % 3);
    this._three(x, out, many);
    for (let row = many; row < rows; row++) this._one(x, out, row);
    return out;
  }

  /**
   * The first rows. Three rows and four outputs at a time: each number that is read is used more than once. Inputs that are 0 in all
   * three rows are left out; after a rectifier those are most.
   * @param {Float64Array} x
   * @param {Float64Array} out
   * @param {number} rows a multiple of three
   */
  _three(x, out, rows) {
    const { inputs, outputs, weight, bias, _index: index, _seen: seen } = this;
    for (let row = 0; row < rows; row += 3) {
      const second = row + 1;
      const third = row + 2;
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
  }

  /**
   * One row, as frames of a stream come; the sums are in the same order.
   * @param {Float64Array} x
   * @param {Float64Array} out
   * @param {number} row
   */
  _one(x, out, row) {
    const { inputs, outputs, weight, bias, _index: index, _seen: seen } = this;
    let count = 0; // of the inputs that are not 0
    for (let i = 0; i < inputs; i++) {
      const value = x[row * inputs + i];
      if (value === 0) continue;
      seen[count] = value;
      index[count++] = i;
    }
    const start = row * outputs;
    let output = 0;
    for (; output + 3 < outputs; output += 4) {
      const p = output * inputs;
      const [q, r, s] = [p + inputs, p + 2 * inputs, p + 3 * inputs];
      let [a, b, c, d] = [bias[output], bias[output + 1], bias[output + 2], bias[output + 3]];
      for (let k = 0; k < count; k++) {
        const i = index[k];
        const value = seen[k];
        a += value * weight[p + i];
        b += value * weight[q + i];
        c += value * weight[r + i];
        d += value * weight[s + i];
      }
      out[start + output] = a;
      out[start + output + 1] = b;
      out[start + output + 2] = c;
      out[start + output + 3] = d;
    }
    for (; output < outputs; output++) {
      let sum = bias[output];
      for (let k = 0; k < count; k++) sum += seen[k] * weight[output * inputs + index[k]];
      out[start + output] = sum;
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
