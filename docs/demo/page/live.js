/** Coding while one speaks: an encoder and a decoder in a thread each. */
import { concatenate } from "../codec/arrays.js";
import { CodecError } from "../codec/errors.js";
import { RATE } from "./audio.js";
import { lendTo } from "./lending.js";

/** @typedef {import("./live_worker.js").LivePoint} LivePoint */

const WARM_UP = 0.4; // seconds of noise that are coded before: browsers translate code that has run for a while into faster code

/**
 * Whether this can be reached while one speaks; an SNR, and a mean rate of tokens, need the whole recording.
 * @param {import("../codec/codec.js").OperatingPoint} point
 * @returns {point is LivePoint}
 */
export function isLive(point) {
  return "tokens" in point ? point.kbps === undefined : "kbps" in point;
}

/** A thread that answers one question after the other. */
class Thread {
  constructor() {
    this._worker = new Worker(new URL("live_worker.js", import.meta.url), { type: "module" });
    lendTo(this._worker);
    /** @type {{done: (answer: any) => void, failed: (error: Error) => void}[]} */
    this._asked = [];
    this._worker.onmessage = ({ data: { answer, error } }) => {
      const { done, failed } = /** @type {(typeof this._asked)[0]} */ (this._asked.shift());
      if (error) failed(new CodecError(error));
      else done(answer);
    };
    this._worker.onerror = () => {
      for (const { failed } of this._asked.splice(0))
        failed(new CodecError("The codec could not be loaded; reload the page."));
    };
  }

  /**
   * @param {import("./live_worker.js").Question} question
   * @returns {Promise<any>}
   */
  ask(question) {
    this._worker.postMessage(question);
    return new Promise((done, failed) => this._asked.push({ done, failed }));
  }

  close() {
    this._worker.terminate();
  }
}

/** How much time a thread takes. */
class Load {
  constructor() {
    this._seconds = 0;
    this._audio = 0; // seconds
    this._last = 0;
  }

  /**
   * @param {number} seconds
   * @param {number} audio seconds of it
   */
  add(seconds, audio) {
    this._seconds += seconds;
    this._audio += audio;
  }

  /** Seconds for a second of audio, since the last call. */
  take() {
    if (this._audio) this._last = this._seconds / this._audio;
    this._seconds = this._audio = 0;
    return this._last;
  }
}

export class LiveCoder {
  /** @param {(sound: Float32Array) => void} heard gets what comes out, at the sound card's rate */
  constructor(heard) {
    this._heard = heard;
    this._encoder = new Thread();
    this._decoder = new Thread();
    /** The kinds of coding that have run. */
    this._warm = new Set();
    this._rate = RATE;
    this._frame = this._latency = this._recorded = this._decoded = 0; // seconds
    this._coded = { bytes: 0, frames: 0 };
    this._loads = [new Load(), new Load()]; // of the encoder, and the decoder
    /** @type {Float32Array[]} what is decoded */
    this._parts = [];
  }

  /**
   * A recording begins, when the models are loaded and both threads are at full speed.
   * @param {LivePoint} point
   * @param {number} rate of the sound card
   * @throws {CodecError} the models are not there
   */
  async start(point, rate) {
    const kind = "tokens" in point ? "tokens" : "waveform";
    await this._begin(point, rate);
    if (this._warm.has(kind)) return;
    const noise = Float32Array.from({ length: WARM_UP * rate }, () => (Math.random() - 0.5) / 4);
    await Promise.all([this._through({ push: noise }, () => {}), this._through({ finish: true }, () => {})]);
    this._warm.add(kind);
    await this._begin(point, rate);
  }

  /**
   * @param {LivePoint} point
   * @param {number} rate
   */
  async _begin(point, rate) {
    const [{ hop, latency }] = await Promise.all([
      this._encoder.ask({ start: { encode: point, rate } }),
      this._decoder.ask({ start: { decode: point, rate } }),
    ]);
    this._rate = rate;
    [this._frame, this._latency] = [hop / RATE, latency / RATE];
    this._recorded = this._decoded = 0;
    this._coded = { bytes: 0, frames: 0 };
    this._loads = [new Load(), new Load()];
    this._parts = [];
  }

  /** What the microphone hears; it is coded when there is time. */
  push(/** @type {Float32Array} */ samples) {
    this._recorded += samples.length / this._rate;
    return this._through({ push: samples }, this._heard);
  }

  /** The recording as it was encoded, its file, and what is heard in it. */
  async finish() {
    const { audio, ...file } = await this._through({ finish: true }, () => {});
    const heard = concatenate(Float32Array, this._parts).subarray(0, audio.length);
    return { audio, result: { ...file, audio: heard, damage: "" } };
  }

  /**
   * @param {{push: Float32Array} | {finish: true}} question
   * @param {(sound: Float32Array) => void} heard
   */
  async _through(question, heard) {
    const { sent, bytes, frames, seconds, recording } = await this._encoder.ask(question);
    this._coded = { bytes, frames };
    this._loads[0].add(seconds, "push" in question ? question.push.length / this._rate : 0);
    const decoded = await this._decoder.ask({ push: sent });
    this._decoded += decoded.samples.length / RATE;
    this._loads[1].add(decoded.seconds, decoded.samples.length / RATE);
    this._parts.push(decoded.samples);
    heard(decoded.sound);
    return recording;
  }

  /** No more threads. */
  close() {
    for (const thread of [this._encoder, this._decoder]) thread.close();
  }

  /** Seconds of the recording that could be decoded but are not yet. */
  get behind() {
    return Math.max(this._recorded - this._decoded - this._latency, 0);
  }

  /** What there is to say since the last call; kbit/s so far, null: none known yet; milliseconds. */
  figures() {
    const { bytes, frames } = this._coded;
    const [encoding, decoding] = this._loads.map((load) => 1000 * this._frame * load.take());
    return {
      kbps: frames ? (8 * bytes) / (frames * this._frame) / 1000 : null,
      frame: 1000 * this._frame,
      latency: 1000 * this._latency,
      encoding,
      decoding,
    };
  }
}
