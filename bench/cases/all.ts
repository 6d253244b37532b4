/** Every case, in the order in which a peer goes through them. */
import { BESIDE_IDLE } from './beside-idle.ts';
import type { Case } from './case.ts';
import { AFTER_LOAD, HOLD_1000, HOLD_10000, IDLE } from './footprint.ts';
import { LATENCY } from './latency.ts';
import { TCP_BULK } from './tcp-bulk.ts';
import { UDP_FLOOD } from './udp-flood.ts';

export const CASES: readonly Case[] = [
  IDLE,
  HOLD_1000,
  ...TCP_BULK,
  ...LATENCY,
  ...UDP_FLOOD,
  ...BESIDE_IDLE,
  AFTER_LOAD,
  HOLD_10000,
];
