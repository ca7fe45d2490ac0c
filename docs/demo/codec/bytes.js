/** Numbers and checksums of the `.tlc` file (`telucodec.files.varint`). */
import { CodecError } from "./errors.js";

/** Takes numbers from bytes. */
export class Reader {
  /**
   * @param {Uint8Array} data
   * @param {number} place
   */
  constructor(data, place) {
    this.data = data;
    this.place = place;
  }

  bytes(/** @type {number} */ count) {
    if (this.place + count > this.data.length)
      throw new CodecError(`The file ends early, after ${this.data.length} bytes.`);
    this.place += count;
    return this.data.subarray(this.place - count, this.place);
  }

  /** Unsigned LEB128: seven bits a byte, the lowest first; at most 6 bytes. */
  varint() {
    let value = 0;
    for (let position = 0; position < 6; position++) {
      const [byte] = this.bytes(1);
      value += (byte & 0x7f) * 2 ** (7 * position);
      if (byte < 0x80) return value;
    }
    throw new CodecError(`The number before byte ${this.place} of the file is too long.`);
  }
}

/** Unsigned LEB128. */
export function varint(/** @type {number} */ value) {
  const bytes = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) + 0x80);
  return [...bytes, value];
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

/** The CRC-32 of zlib and PNG. */
export function crc32(/** @type {Uint8Array} */ data) {
  let check = -1;
  for (const byte of data) check = CRC_TABLE[(check ^ byte) & 0xff] ^ (check >>> 8);
  return ~check;
}
