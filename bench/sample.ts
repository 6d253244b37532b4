/** What was measured, as it is kept in JSON. */
import type { Values } from './cases/case.ts';
import type { Noise } from './rig/noise.ts';

export interface Sample {
  /** `NAME@MTU`. */
  readonly peer: string;
  /** From 1. */
  readonly repetition: number;
  readonly case: string;
  readonly values: Values;
  readonly noise: Noise;
  /** Why there are no values. */
  readonly error?: string;
}

export interface Contender {
  /** `NAME@MTU`. */
  readonly id: string;
  readonly name: string;
  readonly mtu: number;
  readonly ours: boolean;
}

/** All that a report is made of. */
export interface Results {
  readonly made: string;
  readonly machine: string;
  readonly settings: string;
  readonly versions: readonly string[];
  /** What was not measured, and why. */
  readonly leftOut: readonly string[];
  readonly contenders: readonly Contender[];
  readonly samples: readonly Sample[];
}

/** The case that every peer begins with: from its start to the first byte that came back. */
export const READY = 'ready';
