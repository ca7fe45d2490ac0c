/**
 * The range coder of docs/format.md: words of 32 bits, a state of 64 bits, probabilities of 24 bits. It is that of the library
 * constriction (Bamler, arXiv 2201.01741); Martin, "Range encoding", 1979.
 */
import { DamagedPacketError } from "./errors.js";

const BITS = 24n;
const TOTAL = 2 ** 24;
const WORD = 2n ** 32n;
const LIMIT = 2n ** 64n;

/**
 * Where the symbols of a distribution begin, in parts of 2^24: [count + 1]. All sums are float32.
 * @param {ArrayLike<number>} frequencies
 * @param {number} [start] of the distribution in `frequencies`
 * @param {number} [count] of its symbols
 */
export function edges(frequencies, start = 0, count = frequencies.length) {
  const { fround } = Math;
  const begins = new Float64Array(count + 1);
  let sum = 0;
  for (let symbol = 0; symbol < count; symbol++) {
    begins[symbol] = sum;
    sum = fround(sum + frequencies[start + symbol]);
  }
  const scale = fround(fround(TOTAL - count) / sum);
  for (let symbol = 1; symbol < count; symbol++) begins[symbol] = Math.floor(fround(begins[symbol] * scale)) + symbol;
  begins[count] = TOTAL;
  return begins;
}

/** Bytes to symbols. */
export class RangeDecoder {
  /** @param {Uint8Array} payload */
  constructor(payload) {
    this._payload = payload;
    this._place = 0;
    this._range = LIMIT - 1n;
    this._offset = (this._word() << 32n) + this._word(); // of the number that is coded, from the start of the range
    this._bits = 0;
  }

  _word() {
    const start = this._place;
    this._place += 4;
    let word = 0;
    for (let byte = start; byte < start + 4; byte++) word = word * 256 + (this._payload[byte] ?? 0);
    return BigInt(word);
  }

  /**
   * The next symbol of a distribution, from `edges`.
   * @param {ArrayLike<number>} begins
   * @throws {DamagedPacketError} no encoder writes these bytes
   */
  symbol(begins) {
    const place = this._part();
    let low = 0;
    let high = begins.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (begins[middle] <= place) low = middle;
      else high = middle;
    }
    this._take(begins[low], begins[low + 1]);
    return low;
  }

  /** The bits that the symbols since the last call cost. */
  spent() {
    const bits = this._bits;
    this._bits = 0;
    return bits;
  }

  /** The next of `size` equally likely numbers, a power of two. */
  uniform(/** @type {number} */ size) {
    const each = TOTAL / size;
    const number = Math.floor(this._part() / each);
    this._take(number * each, (number + 1) * each);
    return number;
  }

  _part() {
    const part = Number(this._offset / (this._range >> BITS));
    if (part >= TOTAL) throw new DamagedPacketError("A packet of the file is not what an encoder writes.");
    return part;
  }

  /**
   * @param {number} begin
   * @param {number} end
   */
  _take(begin, end) {
    this._bits += Math.log2(TOTAL / (end - begin));
    const unit = this._range >> BITS;
    this._offset -= unit * BigInt(begin);
    this._range = unit * BigInt(end - begin);
    if (this._range < WORD) {
      this._offset = (this._offset << 32n) + this._word();
      this._range <<= 32n;
    }
  }
}

/** Symbols to bytes. */
export class RangeEncoder {
  constructor() {
    this._low = 0n;
    this._range = LIMIT - 1n;
    /** @type {number[]} */
    this._words = [];
    this._bits = 0;
  }

  /**
   * Append a symbol of a distribution, from `edges`.
   * @param {number} symbol
   * @param {ArrayLike<number>} begins
   */
  symbol(symbol, begins) {
    this._append(begins[symbol], begins[symbol + 1]);
  }

  /**
   * Append one of `size` equally likely numbers, a power of two.
   * @param {number} number
   * @param {number} size
   */
  uniform(number, size) {
    this._append((number * TOTAL) / size, ((number + 1) * TOTAL) / size);
  }

  /**
   * @param {number} begin
   * @param {number} end
   */
  _append(begin, end) {
    this._bits += Math.log2(TOTAL / (end - begin));
    const unit = this._range >> BITS;
    this._low = carried(this._words, this._low + unit * BigInt(begin));
    this._range = unit * BigInt(end - begin);
    if (this._range < WORD) {
      this._words.push(Number(this._low >> 32n));
      this._low = (this._low % WORD) << 32n;
      this._range <<= 32n;
    }
  }

  /** The bits that the symbols since the last call cost. */
  spent() {
    const bits = this._bits;
    this._bits = 0;
    return bits;
  }

  /** Everything written so far; trailing zero bytes are left out, a decoder puts them back. */
  bytes() {
    const words = this._words.slice();
    if (this._range < LIMIT - 1n) words.push(Number(carried(words, this._low + WORD - 1n) >> 32n));
    const bytes = words.flatMap((word) => [word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff]);
    while (bytes.at(-1) === 0) bytes.pop();
    return Uint8Array.from(bytes);
  }
}

/**
 * What a number has in 64 bits; the rest is carried into the words before.
 * @param {number[]} words
 * @param {bigint} low
 */
function carried(words, low) {
  if (low < LIMIT) return low;
  let place = words.length - 1;
  for (; words[place] === 0xffffffff; place--) words[place] = 0;
  words[place] += 1;
  return low - LIMIT;
}
