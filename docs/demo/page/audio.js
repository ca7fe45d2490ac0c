/** Recordings to samples at the codec's rate, and back to files. */
import { CodecError } from "../codec/errors.js";

export const RATE = 16000; // Hz
export const LONGEST = 120; // seconds of a recording that are used

/**
 * A recording to samples [samples] at RATE; several channels become their mean.
 * @param {ArrayBuffer} data any format that the browser knows
 * @throws {CodecError} it does not know this one
 */
export async function read(data) {
  const exact = readWav(data);
  if (exact) return exact;
  try {
    return mixed(await new OfflineAudioContext(1, 1, RATE).decodeAudioData(data));
  } catch {
    throw new CodecError("Your browser cannot read this file. Try a WAV, MP3, Ogg, FLAC or M4A file.");
  }
}

/** Samples at RATE, to be played. */
export function buffer(/** @type {Float32Array} */ samples) {
  const made = new AudioBuffer({ length: Math.max(samples.length, 1), sampleRate: RATE });
  made.copyToChannel(Float32Array.from(samples), 0);
  return made;
}

function mixed(/** @type {AudioBuffer} */ recording) {
  const channels = Array.from({ length: recording.numberOfChannels }, (_, channel) =>
    recording.getChannelData(channel),
  );
  return channels[0].map((_, n) => channels.reduce((sum, channel) => sum + channel[n], 0) / channels.length);
}

/**
 * The samples of a WAV file that needs no conversion: 16 bits, mono, at RATE. null: another file. Browsers scale such samples in
 * different ways; Python divides them by 2^15.
 */
function readWav(/** @type {ArrayBuffer} */ data) {
  const view = new DataView(data);
  const word = (/** @type {number} */ place) => (place + 4 <= data.byteLength ? view.getUint32(place) : 0);
  if (word(0) !== 0x52494646 || word(8) !== 0x57415645) return null; // "RIFF", "WAVE"
  let fits = false;
  for (let place = 12; place + 8 <= data.byteLength;) {
    const size = view.getUint32(place + 4, true);
    const start = place + 8;
    if (word(place) === 0x666d7420 && start + 16 <= data.byteLength)
      // "fmt "
      fits =
        view.getUint16(start, true) === 1 &&
        view.getUint16(start + 2, true) === 1 &&
        view.getUint32(start + 4, true) === RATE &&
        view.getUint16(start + 14, true) === 16;
    if (word(place) === 0x64617461) {
      // "data"
      const count = Math.floor(Math.min(size, data.byteLength - start) / 2);
      return fits ? Float32Array.from({ length: count }, (_, n) => view.getInt16(start + 2 * n, true) / 2 ** 15) : null;
    }
    place = start + size + (size % 2);
  }
  return null;
}

/** Samples at RATE as the bytes of a WAV file of 16 bits. */
export function writeWav(/** @type {Float32Array} */ samples) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (/** @type {number} */ place, /** @type {string} */ letters) =>
    [...letters].forEach((letter, n) => view.setUint8(place + n, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // integers
  view.setUint16(22, 1, true); // channel
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, n) =>
    view.setInt16(44 + 2 * n, Math.max(-(2 ** 15), Math.min(2 ** 15 - 1, Math.round(sample * 2 ** 15))), true),
  );
  return new Uint8Array(view.buffer);
}
