/**
 * The search for the quantiser step that gives a wanted rate (`telucodec.waveform.search`): a guess from plain rounding of
 * coefficients, corrected by what coding some pieces of the recording shows, then the whole file, corrected until it fits.
 */
import { writePacket } from "../container.js";
import { MDCT } from "../mdct.js";
import { LAST_STEP } from "./grids.js";

const LOOKED_AT = 150; // pieces of the recording, spread over it, that the first guess looks at
const TRIED = [10, 24]; // of these, those that are coded to correct the guess: at least, and at most
const TRIED_SHARE = 0.04; // of the recording; little beside coding all of it a second time
const PIECE_SECONDS = 2;
const SPREAD = 64; // steps by which the recording may differ from the pieces that are coded
const ROUNDED_UP = 0.65; // part of a step from which the first guess rounds up
const LOG_RATE_STEP = 0.0075; // by which the logarithm of the rate grows from one step to the next, about
const NEAR = 0.019; // of the rate, below the 2 % promised
const ATTEMPTS = 10;

/** @typedef {import("./codec.js").WaveformCodec} WaveformCodec */

/**
 * The step, and what it gives, whose rate is nearest to the wanted one.
 * @template T
 * @param {WaveformCodec} codec
 * @param {Float32Array} audio
 * @param {number} kbps of the whole file
 * @param {number} shaping
 * @param {(step: number) => {data: T, size: number}} encodeAt a step to the file and its bytes
 * @returns {T}
 */
export function toKbps(codec, audio, kbps, shaping, encodeAt) {
  const seconds = audio.length / codec.sampleRate;
  const wanted = Math.log(kbps);
  const logRate = (/** @type {number} */ bits, /** @type {Float64Array[]} */ pieces) =>
    Math.log((Math.max(bits, 1) / pieces.reduce((sum, piece) => sum + piece.length, 0)) * (codec.sampleRate / 1000));
  const rounded = (/** @type {number} */ step, /** @type {Float64Array[]} */ pieces) =>
    logRate(
      pieces.reduce((sum, piece) => sum + roundedBits(piece, codec.grid(piece, { step, shaping }).steps), 0),
      pieces,
    );
  const coded = (/** @type {number} */ step, /** @type {Float64Array[]} */ pieces) => {
    const payloads = codec.encodePackets(pieces, { step, shaping });
    return logRate(8 * payloads.reduce((sum, payload) => sum + writePacket(0, payload).length, 0), pieces);
  };
  const start = firstStep(pieces(audio, codec), seconds, wanted, rounded, coded);
  return approach(start, wanted, (step) => {
    const { data, size } = encodeAt(step);
    return { data, logRate: Math.log((8 * size) / seconds / 1000) };
  });
}

/**
 * About what digits and signs of coefficients cost that are rounded with a dead zone.
 * @param {Float64Array} piece
 * @param {Float64Array} steps
 */
function roundedBits(piece, steps) {
  let bits = 0;
  for (let place = 0; place < piece.length; place++) {
    const magnitude = Math.floor(Math.abs(piece[place] / steps[place]) + 1 - ROUNDED_UP);
    if (magnitude) bits += 2 * Math.log2(1 + magnitude) + 1;
  }
  return bits;
}

/**
 * Coefficients [frames, hop] of pieces of equal length spread evenly over audio.
 * @param {Float32Array} audio
 * @param {WaveformCodec} codec
 */
function pieces(audio, codec) {
  const size = PIECE_SECONDS * codec.sampleRate;
  const count = Math.min(Math.ceil(audio.length / size), LOOKED_AT);
  const last = Math.max(audio.length - size, 0);
  return Array.from({ length: count }, (_, number) => {
    const start = count > 1 ? Math.floor((number * last) / (count - 1)) : 0;
    return new MDCT(codec.hop).analyse(audio.subarray(start, start + size)).map(Math.fround);
  });
}

/**
 * The step at which `rounded`, corrected by what `coded` differs from it, comes nearest to `wanted`.
 * @param {Float64Array[]} all
 * @param {number} seconds
 * @param {number} wanted
 * @param {(step: number, pieces: Float64Array[]) => number} rounded
 * @param {(step: number, pieces: Float64Array[]) => number} coded
 */
function firstStep(all, seconds, wanted, rounded, coded) {
  const count = Math.min(Math.max((TRIED_SHARE * seconds) / PIECE_SECONDS, TRIED[0]), TRIED[1]);
  const stride = Math.ceil(all.length / count);
  const tried = all.filter((_, place) => place % stride === 0);
  const first = nearest((step) => rounded(step, tried) - wanted, 0, LAST_STEP);
  if (tried.length === all.length) return first; // coding the whole file is as quick
  const corrected = wanted - coded(first, tried) + rounded(first, tried);
  return nearest(
    (step) => rounded(step, all) - corrected,
    Math.max(first - SPREAD, 0),
    Math.min(first + SPREAD, LAST_STEP),
  );
}

/**
 * The step from low to high at which `excess`, which grows with the step, is nearest to zero.
 * @param {(step: number) => number} excess
 * @param {number} low
 * @param {number} high
 */
function nearest(excess, low, high) {
  let [below, above] = [excess(low), excess(high)];
  while (high - low > 1 && below < 0 && above > 0) {
    const middle = Math.floor((low + high) / 2);
    const value = excess(middle);
    if (value < 0) [low, below] = [middle, value];
    else [high, above] = [middle, value];
  }
  return Math.abs(below) < Math.abs(above) ? low : high;
}

/**
 * What `measure` gives at the step whose rate comes nearest to `wanted`.
 * @template T
 * @param {number} step to start from
 * @param {number} wanted logarithm of the rate
 * @param {(step: number) => {data: T, logRate: number}} measure
 * @returns {T}
 */
function approach(step, wanted, measure) {
  /** @type {Map<number, {data: T, logRate: number}>} */
  const tried = new Map();
  const excess = (/** @type {number} */ at) => /** @type {{logRate: number}} */ (tried.get(at)).logRate - wanted;
  for (let attempt = 0; attempt < ATTEMPTS && !tried.has(step); attempt++) {
    tried.set(step, measure(step));
    const distance = excess(step);
    if (Math.abs(distance) <= NEAR) break;
    const low = Math.max(...[...tried.keys()].filter((other) => excess(other) < 0));
    const high = Math.min(...[...tried.keys()].filter((other) => excess(other) >= 0));
    let moved = step - (Math.round(distance / LOG_RATE_STEP) || Math.sign(distance));
    if (Number.isFinite(low) && Number.isFinite(high)) {
      const share = -excess(low) / (excess(high) - excess(low)); // between the nearest on either side
      const most = Math.max(high - low - 1, 1);
      moved = high - low > 1 ? low + Math.min(Math.max(Math.round(share * (high - low)), 1), most) : low;
    }
    step = Math.min(Math.max(moved, 0), LAST_STEP);
  }
  const best = [...tried.keys()].reduce((one, other) =>
    Math.abs(excess(other)) < Math.abs(excess(one)) ? other : one,
  );
  return /** @type {{data: T}} */ (tried.get(best)).data;
}
