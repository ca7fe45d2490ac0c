/**
 * The header of the `.tlc` file, as docs/format.md describes it byte by byte (`telucodec.files.header`).
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
 */
import { Reader, crc32, varint } from "./bytes.js";
import { CodecError } from "./errors.js";

export const TOKENS = 0;
export const WAVEFORM = 1;

const MAGIC = [0x54, 0x4c, 0x43];
const VERSION = 2;
const [OWN_STEPS, DTX] = [32, 64]; // in the byte of the shaping
const MAX_SAMPLES = 2 ** 40;
const MAX_COUNT = 4096; // of frames in a packet, and of packets to the next key

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
