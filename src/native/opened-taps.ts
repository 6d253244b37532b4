/**
 * TAPs that were opened while the process had the right to, by an earlier start of the program in it. Each is for one
 * link, the first that asks for it.
 */
import type { Tap } from './posix.ts';

export interface OpenedTap {
  readonly name: string;
  readonly netns?: string | undefined;
  readonly tap: Tap;
}

const opened: OpenedTap[] = [];

export function addOpenedTaps(taps: readonly OpenedTap[]): void {
  opened.push(...taps);
}

export function takeOpenedTap(name: string, netns: string | undefined): Tap | undefined {
  const at = opened.findIndex((one) => one.name === name && one.netns === netns);
  return at < 0 ? undefined : opened.splice(at, 1)[0]?.tap;
}
