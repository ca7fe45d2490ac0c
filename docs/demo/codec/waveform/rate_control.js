/** The step of each packet of a stream that may not exceed a rate (`telucodec.waveform.rate_control`). */
import { writeEnd, writePacket } from "../container.js";
import { CodecError } from "../errors.js";
import { rint } from "../layers.js";
import { LAST_STEP } from "./grids.js";
import { UNIT } from "./own_steps.js";

const SHARE = 5; // a packet takes at most this part of the bits that are left: never all, so that the next ones have some too
const NATS_A_STEP = 0.0075; // by how much the logarithm of the rate grows with the step, about
const [FINER, COARSER] = [0.5, 1]; // steps by which a packet moves those of the next ones, at most
const [START, START_KBPS] = [256, 6]; // a usual step for speech, and its rate
const EMPTY = 8 * writePacket(0, new Uint8Array()).length; // bits of a packet that holds nothing
const [HEADER, END] = [8 * 20, 8 * writeEnd(2 ** 40 - 1).length]; // bits, at most

/**
 * Chooses steps so that the bits of every second stay below a limit: a leaky bucket with the window of a second. A packet that is too
 * large is coded again, more coarsely.
 */
export class RateControl {
  /**
   * @param {number} kbps the limit
   * @param {number} packetSeconds duration of a packet
   */
  constructor(kbps, packetSeconds) {
    const packets = Math.ceil(rint(1e6 / packetSeconds) / 1e6); // of any second, at most
    this._sent = [...new Array(packets - 2).fill(EMPTY), EMPTY + HEADER]; // bits of the packets before
    this._left = 1000 * kbps - END - this._sent.reduce((sum, bits) => sum + bits, 0);
    if (this._left < SHARE * EMPTY) throw new CodecError(`A rate of ${kbps} kbit/s leaves no bits for speech.`);
    this._mean = (1000 * kbps) / packets;
    this.start = onGrid(START + Math.log(kbps / START_KBPS) / NATS_A_STEP);
    this._step = this.start;
  }

  /**
   * What the next packet becomes at the step that it gets; null if not even the coarsest fits: then it must hold nothing.
   * @template {{packet: Uint8Array}} T
   * @param {(step: number) => T} encode
   */
  pick(encode) {
    const allowed = this._left / SHARE;
    let step = onGrid(this._step);
    let trial = encode(step);
    let stride = UNIT / 2;
    this._follow(8 * trial.packet.length, allowed);
    while (8 * trial.packet.length > allowed) {
      if (step === 0) {
        this._spend(EMPTY);
        return null;
      }
      stride = Math.max(Math.log((8 * trial.packet.length) / allowed) / NATS_A_STEP, 2 * stride);
      step = onGrid(step - stride);
      trial = encode(step);
    }
    this._spend(8 * trial.packet.length);
    return trial;
  }

  /**
   * Moves the step towards that at which a packet takes what it may, now that one takes so many bits.
   * @param {number} bits
   * @param {number} allowed
   */
  _follow(bits, allowed) {
    const wanted = Math.log(allowed / bits) / NATS_A_STEP;
    const finer = FINER * Math.min(bits / this._mean, 1);
    this._step = Math.min(Math.max(this._step + Math.min(Math.max(wanted, -COARSER), finer), 0), LAST_STEP);
  }

  _spend(/** @type {number} */ bits) {
    this._sent.push(bits);
    this._left += Number(this._sent.shift()) - bits;
  }
}

function onGrid(/** @type {number} */ step) {
  return Math.min(Math.max(rint(step / UNIT), 0) * UNIT, Math.floor(LAST_STEP / UNIT) * UNIT);
}
