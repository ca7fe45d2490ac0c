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
    const { size, _cos: cos, _sin: sin } = this;
    /** @type {Float64Array[]} */
    let [x, y, toX, toY] = [re, im, this._re, this._im];
    let [length, stride] = [size, 1];
    for (const factor of this._factors) {
      const part = length / factor;
      for (let p = 0; p < part; p++) {
        for (let t = 0; t < factor; t++) {
          const turn = p * t * stride;
          const [c, s] = [cos[turn], sin[turn]];
          for (let q = 0; q < stride; q++) {
            let [sumX, sumY] = [0, 0];
            for (let k = 0; k < factor; k++) {
              const place = ((k * t) % factor) * (size / factor);
              const from = q + stride * (p + part * k);
              sumX += x[from] * cos[place] - y[from] * sin[place];
              sumY += x[from] * sin[place] + y[from] * cos[place];
            }
            const to = q + stride * (factor * p + t);
            toX[to] = sumX * c - sumY * s;
            toY[to] = sumX * s + sumY * c;
          }
        }
      }
      [x, y, toX, toY] = [toX, toY, x, y];
      [length, stride] = [part, stride * factor];
    }
    if (x !== re) {
      re.set(x);
      im.set(y);
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
