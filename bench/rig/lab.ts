/**
 * Where one peer is measured: two network namespaces, made and removed for it.
 *
 *     host: lo, the peer, servers and clients ---- the peer's link ---- guest: a kernel's own TCP/IP
 *
 * The host has an address and a default route, as peers take theirs from there; nothing answers
 * behind it, and no traffic leaves the machine.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Namespace } from './namespace.ts';
import { Running, type RunningOptions } from './running.ts';

export const HOST_ADDRESS = '198.18.0.10';
export const HOST_ROUTER = '198.18.0.1';
/** Ports that servers listen on; those of the guest are published on the host. */
export const PORTS = {
  host: { bulk: 5201, echo: 5300 },
  guest: { bulk: 5202, echo: 5302 },
} as const;
export const GUEST_PORTS: readonly number[] = Object.values(PORTS.guest);

export class Lab {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'hawser-bench-'));
  readonly host: Namespace;
  readonly guest: Namespace;
  /** More options of the bridges' program. */
  readonly bridgeArgs: readonly string[];
  private readonly processes: Running[] = [];

  /** @param name tells the labs of one process apart */
  constructor(bridgeArgs: readonly string[] = [], name = '') {
    this.bridgeArgs = bridgeArgs;
    this.host = new Namespace(`hawser-b${process.pid}${name}h`);
    this.guest = new Namespace(`hawser-b${process.pid}${name}g`);
  }

  /** @returns the congestion control in use */
  build(): string {
    for (const namespace of [this.host, this.guest]) namespace.create();
    this.host.ip(
      'link add up0 type veth peer name up1',
      'link set up1 up',
      `addr add ${HOST_ADDRESS}/24 dev up0`,
      'link set up0 up',
      `route add default via ${HOST_ROUTER} dev up0`,
    );
    this.guest.useCongestionControl('cubic');
    return this.host.useCongestionControl('cubic');
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  start(where: Namespace, argv: readonly string[], options?: RunningOptions): Running {
    const process = new Running(where.enter(argv), options);
    this.processes.push(process);
    return process;
  }

  async close(): Promise<void> {
    for (const process of this.processes.reverse()) await process.stop();
    this.remove();
  }

  /** At once, for a benchmark that was interrupted. */
  abandon(): void {
    for (const process of this.processes) process.child.kill('SIGKILL');
    this.remove();
  }

  private remove(): void {
    for (const namespace of [this.host, this.guest]) namespace.remove();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
