/** One measurement of a started peer. */
import type { Started } from '../peers/peer.ts';
import type { Lab } from '../rig/lab.ts';
import { cpuSeconds, processTree } from '../rig/proc.ts';

/** Who opens the connections. */
export type Direction = 'to-host' | 'to-guest' | 'none';

export const carrierOf = (direction: Direction): string =>
  direction === 'to-host' ? 'g2h' : 'h2g';
export const wordsOf = (direction: Direction): string =>
  direction === 'to-host' ? 'guest to host' : 'host to guest';

export type Values = Readonly<Record<string, number>>;

export interface CaseRun {
  readonly lab: Lab;
  readonly peer: Started;
  readonly seconds: number;
}

export interface Case {
  readonly name: string;
  readonly about: string;
  readonly direction: Direction;
  /** Also measured with `--quick`. */
  readonly quick: boolean;
  /** @throws Error saying why there is no figure */
  run(run: CaseRun): Promise<Values>;
}

export const daemonPids = ({ daemons }: Started): readonly number[] =>
  daemons.flatMap(({ pid }) => processTree(pid));

/** CPU seconds of the peer's processes during `work`. */
export async function withCpu<T>(
  peer: Started,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly cpuS: number }> {
  const before = cpuSeconds(daemonPids(peer));
  const result = await work();
  return { result, cpuS: cpuSeconds(daemonPids(peer)) - before };
}

/** The address that a client dials. @throws when the peer does not go that way */
export function targetOf(peer: Started, direction: Direction): string {
  const target = direction === 'to-host' ? peer.toHost : peer.toGuest;
  if (target === undefined) throw new Error(`it does not carry connections ${direction}`);
  return target;
}
