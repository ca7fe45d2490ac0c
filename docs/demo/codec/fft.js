/** The discrete Fourier transform of any length whose prime factors are small. */
export class FFT {
  /** @param {number} size */
  constructor(size) {
    this.size = size;
    this.bins = size / 2 + 1;
    /** @type {number[]} */
    this._factors = [];
    for (let rest = size, factor = 4; rest > 1; factor = factor === 4 ? 2 : factor === 2 ? 3 : factor + 2)
      for (; rest % factor === 0; rest /= factor) this._factors.push(factor);
    this._cos = Float64Array.from({ length: size }, (_, place) => Math.cos((2 * Math.PI * place) / size));
    this._sin = Float64Array.from({ length: size }, (_, place) => -Math.sin((2 * Math.PI * place) / size));
    this._re = new Float64Array(size);
    this._im = new Float64Array(size);
    this._pair = [new Float64Array(size), new Float64Array(size)];
  }

  /**
   * The transform of complex values in place. With the parts exchanged, it is the inverse times the size.
   * Source: Stockham, "High-speed convolution and correlation", AFIPS 1966.
   * @param {Float64Array} re
   * @param {Float64Array} im
   */
  run(re, im) {
    /** @type {Float64Array[]} */
    let [x, y, toX, toY] = [re, im, this._re, this._im];
    let stride = 1;
    for (const factor of this._factors) {
      if (factor === 4) this._quarters(x, y, toX, toY, stride);
      else this._parts(x, y, toX, toY, stride, factor);
      [x, y, toX, toY] = [toX, toY, x, y];
      stride *= factor;
    }
    if (x !== re) {
      re.set(x);
      im.set(y);
    }
  }

  /**
   * One pass over the values: the sums of as many of them as `factor` says, turned.
   * @param {Float64Array} x
   * @param {Float64Array} y
   * @param {Float64Array} toX
   * @param {Float64Array} toY
   * @param {number} stride the product of the factors of earlier passes
   * @param {number} factor
   */
  _parts(x, y, toX, toY, stride, factor) {
    const { size, _cos: cos, _sin: sin } = this;
    const part = size / stride / factor;
    toX.fill(0);
    toY.fill(0);
    for (let p = 0; p < part; p++) {
      for (let t = 0; t < factor; t++) {
        const to = stride * (factor * p + t);
        for (let k = 0; k < factor; k++) {
          const turn = (t * (k * part + p) * stride) % size;
          const [c, s] = [cos[turn], sin[turn]];
          const from = stride * (p + part * k);
          for (let q = 0; q < stride; q++) {
            toX[to + q] += x[from + q] * c - y[from + q] * s;
            toY[to + q] += x[from + q] * s + y[from + q] * c;
          }
        }
      }
    }
  }

  /**
   * `_parts` with the factor 4, whose sums need no products.
   * @param {Float64Array} x
   * @param {Float64Array} y
   * @param {Float64Array} toX
   * @param {Float64Array} toY
   * @param {number} stride
   */
  _quarters(x, y, toX, toY, stride) {
    const { size, _cos: cos, _sin: sin } = this;
    const apart = size / 4;
    for (let start = 0; start < apart; start += stride) {
      const [c1, s1, c2, s2] = [cos[start], sin[start], cos[2 * start], sin[2 * start]];
      const [c3, s3] = [cos[3 * start], sin[3 * start]];
      for (let q = 0; q < stride; q++) {
        const a = start + q;
        const b = a + apart;
        const c = b + apart;
        const d = c + apart;
        const evenX = x[a] + x[c];
        const evenY = y[a] + y[c];
        const otherX = x[a] - x[c];
        const otherY = y[a] - y[c];
        const oddX = x[b] + x[d];
        const oddY = y[b] + y[d];
        const turnedX = y[b] - y[d]; // by a quarter
        const turnedY = x[d] - x[b];
        const to = q + 4 * start;
        toX[to] = evenX + oddX;
        toY[to] = evenY + oddY;
        toX[to + stride] = (otherX + turnedX) * c1 - (otherY + turnedY) * s1;
        toY[to + stride] = (otherX + turnedX) * s1 + (otherY + turnedY) * c1;
        toX[to + 2 * stride] = (evenX - oddX) * c2 - (evenY - oddY) * s2;
        toY[to + 2 * stride] = (evenX - oddX) * s2 + (evenY - oddY) * c2;
        toX[to + 3 * stride] = (otherX - turnedX) * c3 - (otherY - turnedY) * s3;
        toY[to + 3 * stride] = (otherX - turnedX) * s3 + (otherY - turnedY) * c3;
      }
    }
  }

  /**
   * The spectrum [bins] of up to `size` real values.
   * @param {ArrayLike<number>} values
   * @returns {[Float64Array, Float64Array]} real and imaginary parts
   */
  spectrum(values) {
    const [re, im] = this._pair;
    re.fill(0);
    re.set(values);
    im.fill(0);
    this.run(re, im);
    return [re.slice(0, this.bins), im.slice(0, this.bins)];
  }

  /**
   * The real values [size] of a spectrum [bins].
   * @param {ArrayLike<number>} real
   * @param {ArrayLike<number>} imaginary
   */
  signal(real, imaginary) {
    const { size, bins } = this;
    const [re, im] = this._pair;
    re.set(real);
    im.set(imaginary);
    im[0] = im[bins - 1] = 0;
    for (let bin = 1; bin < bins - 1; bin++) {
      re[size - bin] = re[bin];
      im[size - bin] = -im[bin];
    }
    this.run(im, re);
    return re.map((value) => value / size);
  }
}
