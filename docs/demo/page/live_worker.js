/** One end of live coding in a thread of its own: it encodes what the microphone hears, or decodes that for the loudspeaker. */
import { concatenate } from "../codec/arrays.js";
import { Codec } from "../codec/codec.js";
import { CodecError } from "../codec/errors.js";
import { RATE } from "./audio.js";
import { borrower } from "./lending.js";
import { Resampler } from "./resampler.js";

/**
 * @typedef {{tokens: number} | {kbps: number, perception?: number}} LivePoint
 *
 * What the encoder sends to the decoder: tokens of frames, or bytes.
 * @typedef {import("../codec/tokens/entropy.js").Codes | Uint8Array} Sent
 *
 * Samples come and go at `rate`, that of the sound card.
 * @typedef {{encode: LivePoint, rate: number} | {decode: LivePoint, rate: number}} Start
 * @typedef {{start: Start} | {push: Float32Array | Sent} | {finish: true}} Question
 */

const codec = new Codec(new URL("../models/", import.meta.url).href, borrower());

/** An encoder of tokens, which also packs them into a file. */
async function tokenEncoder(/** @type {{tokens: number}} */ { tokens }) {
  const [model, encoder] = await Promise.all([codec.tokens(), codec.tokenEncoder(tokens)]);
  const file = model.file(tokens);
  const sent = (/** @type {import("../codec/tokens/entropy.js").Codes} */ codes) => {
    file.push(codes);
    return codes;
  };
  return {
    hop: model.hop,
    latency: 2 * model.hop,
    push: (/** @type {Float32Array} */ samples) => sent(encoder.push(samples)),
    finish: (/** @type {Float32Array} */ samples) => sent([...encoder.push(samples), ...encoder.finish()]),
    coded: () => ({ bytes: file.size, frames: file.bits.length }),
    file: (/** @type {number} */ samples) => file.finish(samples),
  };
}

/** An encoder of a waveform, the bytes of which are the file. */
async function streamEncoder(/** @type {{kbps: number, perception?: number}} */ point) {
  const [{ hop }, encoder] = await Promise.all([codec.waveform(), codec.streamEncoder(point)]);
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const parts = [];
  let bytes = 0;
  const sent = (/** @type {Uint8Array<ArrayBuffer>} */ data) => {
    parts.push(data);
    bytes += data.length;
    return data;
  };
  return {
    hop,
    latency: (encoder.header.packetFrames + 1) * hop,
    push: (/** @type {Float32Array} */ samples) => sent(encoder.push(samples)),
    finish: (/** @type {Float32Array} */ samples) =>
      sent(concatenate(Uint8Array, [encoder.push(samples), encoder.finish()])),
    coded: () => ({ bytes, frames: encoder.bits.length }),
    file: () => ({ parts, header: encoder.header, bits: encoder.bits }),
  };
}

/**
 * @param {LivePoint} point
 * @param {number} rate
 */
async function encoding(point, rate) {
  const encoder = await ("tokens" in point ? tokenEncoder(point) : streamEncoder(point));
  const resampler = new Resampler(rate, RATE);
  /** @type {Float32Array[]} */
  const parts = [];
  const kept = (/** @type {Float32Array} */ samples) => {
    parts.push(samples);
    return samples;
  };
  return {
    begun: { hop: encoder.hop, latency: encoder.latency },
    push: (/** @type {Float32Array} */ samples) => ({
      sent: encoder.push(kept(resampler.push(samples))),
      ...encoder.coded(),
    }),
    finish: () => {
      const sent = encoder.finish(kept(resampler.finish()));
      const audio = concatenate(Float32Array, parts);
      const { parts: data, header, bits } = encoder.file(audio.length);
      return { sent, ...encoder.coded(), recording: { audio, data: concatenate(Uint8Array, data), header, bits } };
    },
  };
}

/**
 * @param {LivePoint} point
 * @param {number} rate
 */
async function decoding(point, rate) {
  const decoder = await ("tokens" in point ? codec.tokenDecoder() : codec.streamDecoder());
  const resampler = new Resampler(RATE, rate);
  return {
    begun: {},
    push: (/** @type {any} */ sent) => {
      const samples = decoder.push(sent);
      return { samples, sound: resampler.push(samples) };
    },
  };
}

/** @type {any} an encoder or a decoder */
let end = null;

async function answer(/** @type {any} */ { start, push }) {
  if (start) {
    end = await ("encode" in start ? encoding(start.encode, start.rate) : decoding(start.decode, start.rate));
    return end.begun;
  }
  const begun = performance.now();
  const made = push ? end.push(push) : end.finish();
  return { ...made, seconds: (performance.now() - begun) / 1000 };
}

let last = Promise.resolve(); // questions are answered one after the other
addEventListener("message", ({ data }) => {
  last = last.then(async () => {
    try {
      postMessage({ answer: await answer(data) });
    } catch (error) {
      const expected = error instanceof CodecError;
      postMessage({ error: expected ? error.message : `The codec failed: ${error}` });
      if (!expected) console.error(error);
    }
  });
});
