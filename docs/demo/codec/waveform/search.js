/**
 * The search for the quantiser step that gives a wanted rate or SNR (`telucodec.waveform.search`): a guess from plain rounding of
 * coefficients, corrected by what coding some pieces of the recording shows, then the whole file, corrected until it fits.
 */
import { writePacket } from "../container.js";
import { rint } from "../layers.js";
import { MDCT } from "../mdct.js";
import { LAST_STEP } from "./grids.js";

const LOOKED_AT = 150; // pieces of the recording, spread over it, that the first guess looks at
const TRIED = [10, 24]; // of these, those that are coded to correct the guess: at least, and at most
const TRIED_SHARE = 0.04; // of the recording; little beside coding all of it a second time
const PIECE_SECONDS = 2;
const SPREAD = 64; // steps by which the recording may differ from the pieces that are coded
const ROUNDED_UP = 0.65; // part of a step from which the first guess rounds up
const ATTEMPTS = 10;

/**
 * How the values of steps are searched.
 * @typedef {object} Kind
 * @property {number} slope by which the value grows from one step to the next, about
 * @property {number} near a distance that is good enough
 * @property {boolean} atLeast of the values that are further away, take one below only if there is none above
 */
/** @type {Kind} */
const LOG_RATE = { slope: 0.0075, near: 0.019, atLeast: false }; // below the 2 % promised
/** @type {Kind} */
const DECIBELS = { slope: (20 * Math.log10(2)) / 64, near: 0.09, atLeast: true }; // below the 0.1 dB promised

/** @typedef {import("./codec.js").WaveformCodec} WaveformCodec */
/**
 * @template T
 * @typedef {(step: number) => {data: T, size: number, error: number}} EncodeAt a step to the file, its bytes and its squared error
 */

/**
 * What the step gives whose rate is nearest to the wanted one.
 * @template T
 * @param {WaveformCodec} codec
 * @param {Float32Array} audio
 * @param {number} kbps of the whole file
 * @param {number} shaping
 * @param {EncodeAt<T>} encodeAt
 */
export function toKbps(codec, audio, kbps, shaping, encodeAt) {
  const seconds = audio.length / codec.sampleRate;
  const wanted = Math.log(kbps);
  const logRate = (/** @type {number} */ bits, /** @type {Float64Array[]} */ pieces) =>
    Math.log((Math.max(bits, 1) / pieces.reduce((sum, piece) => sum + piece.length, 0)) * (codec.sampleRate / 1000));
  const rounded = (/** @type {number} */ step, /** @type {Float64Array[]} */ pieces) =>
    logRate(
      pieces.reduce((sum, piece) => sum + roundedBits(piece, codec.packets.grid(piece, { step, shaping }).steps), 0),
      pieces,
    );
  const coded = (/** @type {number} */ step, /** @type {Float64Array[]} */ pieces) => {
    const { payloads } = codec.packets.encode(pieces, { step, shaping });
    return logRate(8 * payloads.reduce((sum, payload) => sum + writePacket(0, payload).length, 0), pieces);
  };
  const start = firstStep(pieces(audio, codec), seconds, wanted, rounded, coded);
  return approach(start, wanted, LOG_RATE, (step) => {
    const { data, size } = encodeAt(step);
    return { data, value: Math.log((8 * size) / seconds / 1000) };
  });
}

/**
 * What the step gives whose SNR is nearest to the wanted one; if none is near, the nearest above.
 * @template T
 * @param {WaveformCodec} codec
 * @param {Float32Array} audio
 * @param {number} wanted in dB
 * @param {number} shaping
 * @param {EncodeAt<T>} encodeAt
 */
export function toSnr(codec, audio, wanted, shaping, encodeAt) {
  const difference = (/** @type {Float64Array} */ one, /** @type {Float64Array} */ other) =>
    energy(one.map((value, place) => value - other[place]));
  const total = (/** @type {Float64Array[]} */ pieces) => pieces.reduce((sum, piece) => sum + energy(piece), 0);
  const rounded = (/** @type {number} */ step, /** @type {Float64Array[]} */ pieces) => {
    const error = pieces.reduce((sum, piece) => {
      const { steps } = codec.packets.grid(piece, { step, shaping });
      return sum + difference(piece, piece.map((value, place) => roundedTo(value, steps[place])));
    }, 0);
    return decibels(total(pieces), error);
  };
  const coded = (/** @type {number} */ step, /** @type {Float64Array[]} */ pieces) => {
    const heard = codec.packets
      .encode(pieces, { step, shaping })
      .read()
      .map(({ decoded }) => codec.restoration({ step, shaping }).push(decoded));
    return decibels(
      total(pieces),
      pieces.reduce((sum, piece, place) => sum + difference(piece, heard[place]), 0),
    );
  };
  const start = firstStep(pieces(audio, codec), audio.length / codec.sampleRate, wanted, rounded, coded);
  const signal = energy(Float64Array.from(audio));
  return approach(start, wanted, DECIBELS, (step) => {
    const { data, error } = encodeAt(step);
    return { data, value: decibels(signal, error) };
  });
}

function energy(/** @type {Float64Array} */ values) {
  return values.reduce((sum, value) => sum + value * value, 0);
}

/**
 * @param {number} signal energy
 * @param {number} error energy
 */
function decibels(signal, error) {
  return 10 * Math.log10(Math.max(signal, 1e-30) / Math.max(error, 1e-30));
}

/**
 * A value rounded to a multiple of a step, with a dead zone.
 * @param {number} value
 * @param {number} step
 */
function roundedTo(value, step) {
  return Math.sign(value) * Math.floor(Math.abs(value / step) + 1 - ROUNDED_UP) * step;
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
 * What `measure` gives at the step whose value comes nearest to `wanted`.
 * @template T
 * @param {number} step to start from
 * @param {number} wanted
 * @param {Kind} kind
 * @param {(step: number) => {data: T, value: number}} measure
 * @returns {T}
 */
function approach(step, wanted, { slope, near, atLeast }, measure) {
  /** @type {Map<number, {data: T, value: number}>} */
  const tried = new Map();
  const excess = (/** @type {number} */ at) => /** @type {{value: number}} */ (tried.get(at)).value - wanted;
  for (let attempt = 0; attempt < ATTEMPTS && !tried.has(step); attempt++) {
    tried.set(step, measure(step));
    const distance = excess(step);
    if (Math.abs(distance) <= near) break;
    const low = Math.max(...[...tried.keys()].filter((other) => excess(other) < 0));
    const high = Math.min(...[...tried.keys()].filter((other) => excess(other) >= 0));
    let moved = rint(step - distance / slope);
    if (moved === 0) moved = step - Math.sign(distance);
    if (Number.isFinite(low) && Number.isFinite(high)) {
      const share = -excess(low) / (excess(high) - excess(low)); // between the nearest on either side
      const most = Math.max(high - low - 1, 1);
      moved = high - low > 1 ? low + Math.min(Math.max(rint(share * (high - low)), 1), most) : low;
    }
    step = Math.min(Math.max(moved, 0), LAST_STEP);
  }
  const isFar = (/** @type {number} */ at) => +(atLeast && excess(at) < -near);
  const best = [...tried.keys()].reduce((one, other) =>
    (isFar(other) - isFar(one) || Math.abs(excess(other)) - Math.abs(excess(one))) < 0 ? other : one,
  );
  return /** @type {{data: T}} */ (tried.get(best)).data;
}
