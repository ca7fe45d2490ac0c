/**
 * The `.tlc` file: a header, then packets with a checksum each, as docs/format.md describes it byte by byte.
 *
 * @typedef {object} Header
 * @property {number} mode TOKENS or WAVEFORM
 * @property {Uint8Array} model the first 4 bytes of the SHA-256 of the weights
 * @property {number} sampleRate in Hz
 * @property {number | null} samples the exact length; null: known at the end of the stream
 * @property {number} packetFrames frames of a packet; the last of a file of known length has as many as are left
 * @property {number} keyPackets packets from one that is decodable by itself to the next
 * @property {number[]} settings waveform: step, shaping; tokens: most codebooks of a frame, their mean or 0
 * @property {boolean} ownSteps waveform: each packet has its own step; that of the settings is where they start from
 * @property {boolean} dtx waveform: packets are left out in pauses
 *
 * @typedef {object} Packet
 * @property {number} number
 * @property {Uint8Array | null} payload null: lost or left out
 * @property {number} frames
 */
import { CodecError } from "./errors.js";

export const TOKENS = 0;
export const WAVEFORM = 1;
export const PACKET_SECONDS = 2; // of speech in a packet of a file

const MAGIC = [0x54, 0x4c, 0x43];
const VERSION = 2;
const MARKER = 0xa5;
const NUMBER_FACTOR = 0x9e3779; // odd, so that a number can be computed from a checksum modulo 2^24
const MOST_LOST_FRAMES = 2 ** 18; // what a lenient reader replaces: more than an hour
const [OWN_STEPS, DTX] = [32, 64]; // in the byte of the shaping
const MOST_LEFT_OUT = 15; // packets in a row, in pauses
const MAX_SAMPLES = 2 ** 40;
const MAX_COUNT = 4096; // of frames in a packet, and of packets to the next key
const MAX_PAYLOAD = 2 ** 21;
const SEARCH_FACTOR = 64; // bytes checked in search of a packet, in multiples of the file's size

/** @param {Header} header */
export function writeHeader(header) {
  const { mode, model, sampleRate, samples, packetFrames, keyPackets, settings, ownSteps, dtx } = header;
  const [step, shaping] = settings;
  const flags = OWN_STEPS * +ownSteps + DTX * +dtx;
  const own = mode === WAVEFORM ? [step >> 8, step & 0xff, shaping + flags] : settings;
  const body = [
    ...MAGIC,
    VERSION,
    mode,
    ...model,
    sampleRate / 1000,
    ...varint(samples === null ? 0 : samples + 1),
    ...varint(packetFrames),
    ...varint(keyPackets),
    ...own,
  ];
  const check = crc32(Uint8Array.from(body));
  return Uint8Array.from([...body, (check >> 8) & 0xff, check & 0xff]);
}

/**
 * The header at the start of a file, and where the packets begin.
 * @param {Uint8Array} data
 * @returns {[Header, number]}
 */
export function readHeader(data) {
  if (MAGIC.some((byte, place) => data[place] !== byte)) throw new CodecError("This is not a .tlc file.");
  if (data.length > 3 && data[3] !== VERSION)
    throw new CodecError(`The file has version ${data[3]} of the format; this page reads version ${VERSION}.`);
  const reader = new Reader(data, 10);
  const [samples, packetFrames, keyPackets] = [reader.varint(), reader.varint(), reader.varint()];
  const mode = data[4];
  const settings = [...reader.bytes(mode === WAVEFORM ? 3 : 2)];
  const check = crc32(data.subarray(0, reader.place)) & 0xffff;
  const [high, low] = reader.bytes(2);
  if (check !== high * 256 + low) throw new CodecError("The header of the file is damaged: its checksum does not fit.");
  const flags = mode === WAVEFORM ? settings[2] & (OWN_STEPS | DTX) : 0;
  if (mode === WAVEFORM) settings.splice(0, 3, settings[0] * 256 + settings[1], settings[2] - flags);
  const header = {
    mode,
    model: data.slice(5, 9),
    sampleRate: data[9] * 1000,
    samples: samples ? samples - 1 : null,
    packetFrames,
    keyPackets,
    settings,
    ownSteps: (flags & OWN_STEPS) > 0,
    dtx: (flags & DTX) > 0,
  };
  const limits =
    mode === WAVEFORM
      ? [
          [0, 1023],
          [0, 16],
        ]
      : [
          [1, 32],
          [0, 32],
        ];
  const fine =
    mode <= WAVEFORM &&
    header.sampleRate > 0 &&
    samples <= MAX_SAMPLES &&
    !(header.dtx && (samples || !settings[1])) &&
    [packetFrames, keyPackets].every((count) => 1 <= count && count <= MAX_COUNT) &&
    settings.every((value, place) => limits[place][0] <= value && value <= limits[place][1]);
  if (!fine) throw new CodecError("The header of the file holds a value that the format does not allow.");
  return [header, reader.place];
}

/**
 * A packet's bytes: marker, length, checksum, payload.
 * @param {number} number
 * @param {Uint8Array} payload
 */
export function writePacket(number, payload) {
  const check = (crc32(payload) + Math.imul(number + 1, NUMBER_FACTOR)) & 0xffffff;
  return Uint8Array.from([
    MARKER,
    ...varint(payload.length),
    check >> 16,
    (check >> 8) & 0xff,
    check & 0xff,
    ...payload,
  ]);
}

/** What ends a stream of unknown length: packet number -1 with the number of samples. */
export function writeEnd(/** @type {number} */ samples) {
  return writePacket(-1, Uint8Array.from(varint(samples)));
}

/** The number of samples in the payload of what ends a stream. */
export function readEnd(/** @type {Uint8Array} */ payload) {
  return new Reader(payload, 0).varint();
}

/**
 * The packet at the start of bytes of a stream; null if more have to come first.
 * @param {Uint8Array} data
 * @param {number} expected its number, unless it ends the stream
 * @throws {CodecError} the bytes are damaged, or another packet comes first
 */
export function nextPacket(data, expected) {
  if (data.length && data[0] !== MARKER) throw new CodecError(`Packet ${expected + 1} of the stream is damaged.`);
  const packet = packetAt(data, 0);
  if (packet && (packet.number === expected || packet.number === -1)) return packet;
  if (packet) throw new CodecError(`Packet ${expected + 1} of the stream is damaged or missing.`);
  return null;
}

/**
 * The number of samples of a file, its packets from `place` on, and what is wrong with it, "" if nothing is. Damaged and
 * missing packets are lost; the others keep their places.
 * @param {Header} header
 * @param {number} hop
 * @param {Uint8Array} data
 * @param {number} place
 * @returns {{samples: number, packets: Packet[], damage: string}}
 */
export function readPackets(header, hop, data, place) {
  const frames = header.samples === null ? null : Math.ceil(header.samples / hop) + 1;
  const size = header.packetFrames;
  const count = frames === null ? null : Math.ceil(frames / size);
  const mostLost = Math.floor(MOST_LOST_FRAMES / size);
  /** @type {(Uint8Array | null)[]} */
  const payloads = [];
  let end = null;
  let budget = SEARCH_FACTOR * (data.length + 1);
  let [lost, surplus] = [0, false];
  const leftOut = header.dtx ? MOST_LEFT_OUT : 0; // that many in a row are no loss
  const lose = (/** @type {number} */ missing) => {
    lost += Math.max(missing - leftOut, 0);
    if (lost > mostLost) throw new CodecError(`${lost} packets of the file are missing, too many to replace.`);
    for (let number = 0; number < missing; number++) payloads.push(null);
  };
  while (count === null ? end === null : payloads.length < count) {
    const follows = (/** @type {number} */ number) =>
      number === -1
        ? count === null
        : payloads.length <= number && number <= payloads.length + mostLost && (count === null || number < count);
    let packet = packetAt(data, place);
    while (budget > 0 && place < data.length && !(packet && follows(packet.number))) {
      budget -= 1 + (packet ? packet.payload.length : 0);
      place = data.indexOf(MARKER, place + 1);
      if (place < 0) place = data.length;
      packet = packetAt(data, place);
    }
    if (!packet || !follows(packet.number)) break;
    if (packet.number === -1) {
      end = readEnd(packet.payload);
    } else {
      lose(packet.number - payloads.length);
      payloads.push(packet.payload);
    }
    place = packet.end;
  }
  if (count !== null) {
    lose(count - payloads.length);
    surplus = place < data.length;
  }
  const most = Math.max(payloads.length * size - 1, 0) * hop;
  const samples = header.samples ?? end ?? most;
  if (end !== null) lose(Math.max(Math.ceil((Math.ceil(samples / hop) + 1) / size) - payloads.length, 0));
  const packets = payloads.map((payload, number) => ({
    number,
    payload,
    frames: frames === null ? size : Math.min(size, frames - number * size),
  }));
  const damage = lost
    ? loss(header, lost, payloads.length)
    : header.samples === null && end === null
      ? "The end of the file is missing; this is what there is."
      : surplus
        ? "Bytes follow the last packet; they were ignored."
        : "";
  return { samples, packets, damage };
}

/**
 * Says that packets are lost.
 * @param {Header} header
 * @param {number} lost
 * @param {number} packets
 */
export function loss({ mode }, lost, packets) {
  const instead = mode === WAVEFORM ? "the speech goes on there and fades" : "silence stands in their place";
  return `${lost} of ${packets} packets are damaged or missing; ${instead}.`;
}

/**
 * @param {Uint8Array} data
 * @param {number} place
 */
function packetAt(data, place) {
  if (data[place] !== MARKER) return null;
  try {
    const reader = new Reader(data, place + 1);
    const length = reader.varint();
    const [high, middle, low] = reader.bytes(3);
    if (length > MAX_PAYLOAD) return null;
    const payload = reader.bytes(length);
    const product = Math.imul(((high << 16) | (middle << 8) | low) - crc32(payload), NUMBER_INVERSE) & 0xffffff;
    return { number: product - 1, payload, end: reader.place };
  } catch (error) {
    if (error instanceof CodecError) return null;
    throw error;
  }
}

class Reader {
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

function varint(/** @type {number} */ value) {
  const bytes = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) + 0x80);
  return [...bytes, value];
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

/** The CRC-32 of zlib and PNG. */
function crc32(/** @type {Uint8Array} */ data) {
  let check = -1;
  for (const byte of data) check = CRC_TABLE[(check ^ byte) & 0xff] ^ (check >>> 8);
  return ~check;
}

/** Modulo 2^24, by Newton's iteration: each step doubles the number of correct bits. */
const NUMBER_INVERSE = [1, 2, 3, 4, 5].reduce(
  (inverse) => Math.imul(inverse, 2 - Math.imul(NUMBER_FACTOR, inverse)),
  NUMBER_FACTOR,
);
