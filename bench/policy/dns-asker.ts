/** A guest that asks for names, a slice at a time, and what that costs the daemon. */
import { daemonPids } from '../cases/case.ts';
import type { Started } from '../peers/peer.ts';
import type { Lab } from '../rig/lab.ts';
import { threadNs } from '../rig/proc.ts';
import type { Running } from '../rig/running.ts';

const SLICE_MS = 60_000;

export class DnsAsker {
  private readonly client: Running;
  private readonly peer: Started;

  /** @param argv of the client */
  constructor(lab: Lab, peer: Started, argv: readonly string[]) {
    this.client = lab.start(lab.guest, [process.execPath, ...argv]);
    this.peer = peer;
  }

  /** @returns of one query: the median time, and the daemon's CPU time, both in us */
  async ask(names: number, queries: number): Promise<readonly [p50Us: number, cpuUs: number]> {
    const pids = daemonPids(this.peer);
    const before = threadNs(pids);
    this.client.stdout = '';
    this.client.child.stdin?.write(`${names} ${queries}\n`);
    const [line] = await this.client.prints(/^.*\n/, SLICE_MS);
    const { p50Us } = JSON.parse(line) as { readonly p50Us: number };
    return [p50Us, (threadNs(pids) - before) / queries / 1_000];
  }
}
