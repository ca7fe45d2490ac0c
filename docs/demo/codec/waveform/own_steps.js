/** The steps of packets that have their own (`telucodec.waveform.own_steps`): each is coded as its distance from the one before. */
import { DamagedPacketError } from "../errors.js";
import { edges } from "../range_coder.js";
import { LAST_STEP } from "./grids.js";

export const UNIT = 16; // steps: 1.5 dB
const FARTHEST = Math.floor(LAST_STEP / UNIT); // units up or down
const FREQUENCIES = Array.from(
  { length: 2 * FARTHEST + 1 },
  (_, symbol) => Math.floor(4096 / (1 + Math.abs(symbol - FARTHEST)) ** 2) + 1,
);
const BEGINS = edges(FREQUENCIES);

/**
 * @param {import("../range_coder.js").RangeEncoder} coder
 * @param {number} before the step of the packet before
 * @param {number} step of the packet, whole units from it
 */
export function writeStep(coder, before, step) {
  coder.symbol((step - before) / UNIT + FARTHEST, BEGINS);
}

/**
 * The step of a packet.
 * @param {import("../range_coder.js").RangeDecoder} coder
 * @param {number} before the step of the packet before
 */
export function readStep(coder, before) {
  const step = before + (coder.symbol(BEGINS) - FARTHEST) * UNIT;
  if (step < 0 || step > LAST_STEP) throw new DamagedPacketError("A packet of the file has an impossible step.");
  return step;
}
