/** How guests are separated from each other: what the segment is configured with. */
import { wordAt } from '../../base/word-at.ts';

/**
 * - `separate`: guests may send frames to each other, but none with the address of another
 * - `isolate`: no frame passes between links
 * - `trust`: a plain switch
 */
export const SEPARATION_MODES = ['separate', 'isolate', 'trust'] as const;
export type SeparationMode = (typeof SEPARATION_MODES)[number];

/**
 * What a policy says beside the mode.
 * - `observed`: whoever tries another guest is told of, and let pass
 * - `isolated`: no frame passes between links, and whoever tries is told of
 */
export type PolicedPassage = 'free' | 'observed' | 'isolated';

/** An address, or a prefix, that links of one name may take from each other. */
export interface AllowedAddress {
  /** Of the link, without the number of the attachment. */
  readonly link: string;
  /** As in `address-key.ts`. */
  readonly words: readonly [number, number, number, number];
  /** Leading bits of `words` that count: 0 to 128. */
  readonly bits: number;
}

export interface SeparationConfig {
  readonly mode: SeparationMode;
  readonly allowed: readonly AllowedAddress[];
}

export const DEFAULT_SEPARATION: SeparationConfig = { mode: 'separate', allowed: [] };

/** Those of the link with this name: `qemu:/run/x.sock#3` is one of `qemu:/run/x.sock`. */
export function allowedOn(
  name: string,
  allowed: readonly AllowedAddress[],
): readonly AllowedAddress[] {
  const listener = name.replace(/#\d+$/, '');
  return allowed.filter(({ link }) => link === name || link === listener);
}

/** Whether the address in `key` is one of `allowed`. */
export function isAllowed(allowed: readonly AllowedAddress[], key: Int32Array): boolean {
  for (const { words, bits } of allowed) {
    let isEqual = true;
    for (let i = 0; i < 4 && isEqual; i++) {
      const significant = Math.min(Math.max(bits - 32 * i, 0), 32);
      const mask = significant === 0 ? 0 : -1 << (32 - significant);
      isEqual = ((wordAt(key, i) ^ wordAt(words, i)) & mask) === 0;
    }
    if (isEqual) return true;
  }
  return false;
}
