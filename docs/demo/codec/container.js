/**
 * The packets of the `.tlc` file, with a checksum each, as docs/format.md describes them (`telucodec.files.container`).
 *
 * @typedef {import("./header.js").Header} Header
 *
 * @typedef {object} Packet
 * @property {number} number
 * @property {Uint8Array | null} payload null: lost or left out
 * @property {number} frames
 */
import { Reader, crc32, varint } from "./bytes.js";
import { CodecError } from "./errors.js";
import { WAVEFORM } from "./header.js";

export const PACKET_SECONDS = 2; // of speech in a packet of a file

const MARKER = 0xa5;
const NUMBER_FACTOR = 0x9e3779; // odd, so that a number can be computed from a checksum modulo 2^24
const MOST_LOST_FRAMES = 2 ** 18; // what a lenient reader replaces: more than an hour
const MOST_LEFT_OUT = 15; // packets in a row, in pauses
const MAX_PAYLOAD = 2 ** 21;
const SEARCH_FACTOR = 64; // bytes checked in search of a packet, in multiples of the file's size

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
    const search = () => {
      let found = packetAt(data, place);
      while (budget > 0 && place < data.length && !(found && follows(found.number))) {
        budget -= 1 + (found ? found.payload.length : 0);
        place = data.indexOf(MARKER, place + 1);
        if (place < 0) place = data.length;
        found = packetAt(data, place);
      }
      return found && follows(found.number) ? found : null;
    };
    let packet = search();
    if (!packet) break;
    // A damaged packet may look like one far ahead: then the next that may follow has a lower number, and is believed instead.
    while (packet.number > payloads.length) {
      place += 1;
      const later = search();
      if (!later || later.number === -1 || later.number > packet.number) break;
      packet = later;
    }
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
  if (end !== null) {
    const needed = Math.ceil((Math.ceil(samples / hop) + 1) / size);
    lose(Math.max(needed - payloads.length, 0));
    payloads.length = needed; // what lies behind the end is a damaged packet that looks like one far ahead
  }
  const packets = payloads.map((payload, number) => ({
    number,
    payload,
    frames: frames === null ? size : Math.min(size, frames - number * size),
  }));
  const gone = countLost(payloads, leftOut);
  const damage = gone
    ? loss(header, gone, payloads.length)
    : header.samples === null && end === null
      ? "The end of the file is missing; this is what there is."
      : surplus
        ? "Bytes follow the last packet; they were ignored."
        : "";
  return { samples, packets, damage };
}

/**
 * The number of packets that are lost: of those in a row, all beyond what may be left out.
 * @param {(Uint8Array | null)[]} payloads
 * @param {number} leftOut
 */
function countLost(payloads, leftOut) {
  let [lost, row] = [0, 0];
  for (const payload of payloads) {
    row = payload ? 0 : row + 1;
    if (row > leftOut) lost += 1;
  }
  return lost;
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

/** Modulo 2^24, by Newton's iteration: each step doubles the number of correct bits. */
const NUMBER_INVERSE = [1, 2, 3, 4, 5].reduce(
  (inverse) => Math.imul(inverse, 2 - Math.imul(NUMBER_FACTOR, inverse)),
  NUMBER_FACTOR,
);
