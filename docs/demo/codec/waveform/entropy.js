/** Range coding of the integers of the waveform codec (`telucodec.waveform.entropy`). */
import { DamagedPacketError } from "../errors.js";
import { edges } from "../range_coder.js";
import { REACH, ROWS, SHIFTS } from "./grids.js";

/** Codes blocks of integers: a block's low bits and escapes follow its symbols. */
export class IntegerCoder {
  /** @param {import("../models.js").Tensor} frequencies of the model [rows, symbols] */
  constructor({ data, shape: [, symbols] }) {
    const rows = Array.from({ length: data.length / symbols }, (_, row) => edges(data, row * symbols, symbols));
    this._edges = ROWS.map((row) => rows[row]);
  }

  /**
   * @param {import("../range_coder.js").RangeEncoder} coder
   * @param {ArrayLike<number>} values
   * @param {ArrayLike<number>} kinds of distribution
   */
  write(coder, values, kinds) {
    const coarse = Array.from(values, (value, i) => value >> SHIFTS[kinds[i]]);
    coarse.forEach((symbol, i) =>
      coder.symbol(Math.min(Math.max(symbol, -REACH), REACH) + REACH, this._edges[kinds[i]]),
    );
    coarse.forEach((symbol, i) => {
      const shift = SHIFTS[kinds[i]];
      if (shift) coder.uniform(values[i] - symbol * 2 ** shift, 2 ** shift);
    });
    for (const symbol of coarse) if (Math.abs(symbol) >= REACH) writeFar(coder, Math.abs(symbol) - REACH);
  }

  /**
   * The integers of the next block.
   * @param {import("../range_coder.js").RangeDecoder} coder
   * @param {Int32Array} kinds
   */
  read(coder, kinds) {
    const values = kinds.map((kind) => coder.symbol(this._edges[kind]) - REACH);
    const far = [...values.keys()].filter((i) => Math.abs(values[i]) === REACH);
    const low = kinds.map((kind) => (SHIFTS[kind] ? coder.uniform(2 ** SHIFTS[kind]) : 0));
    for (const i of far) values[i] += Math.sign(values[i]) * readFar(coder);
    return values.map((value, i) => value * 2 ** SHIFTS[kinds[i]] + low[i]);
  }
}

/**
 * Exponential Golomb code of order 2: the number of digits, then the digits.
 * @param {import("../range_coder.js").RangeEncoder} coder
 * @param {number} far
 */
function writeFar(coder, far) {
  const digits = 32 - Math.clz32(far + 4);
  coder.uniform(digits, 32);
  for (let start = 0; start < digits - 1; start += 8) {
    const size = 2 ** Math.min(8, digits - 1 - start);
    coder.uniform(((far + 4) >> start) & (size - 1), size);
  }
}

function readFar(/** @type {import("../range_coder.js").RangeDecoder} */ coder) {
  const digits = coder.uniform(32);
  if (digits < 3 || digits > 24) throw new DamagedPacketError("A packet of the file holds an impossible escape code.");
  let far = 2 ** (digits - 1);
  for (let start = 0; start < digits - 1; start += 8)
    far |= coder.uniform(2 ** Math.min(8, digits - 1 - start)) << start;
  return far - 4;
}
