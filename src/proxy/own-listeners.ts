/**
 * The TCP listeners of hawser itself: the control API and the sockets where guests attach, and, where the process is
 * hawser's own, every other listener in it. A guest that
 * reached one could control the daemon or impersonate another guest, so connections to them are refused,
 * through the host address and through every address of the host's interfaces alike.
 *
 * Published ports are not among them: a publication offers a guest's service to every client that reaches the
 * host, other guests included. Nor is an address that a router outside translates to this host's, which
 * cannot be known here: the API's token protects against that.
 */
import { networkInterfaces } from 'node:os';
import { parseAddress } from '../services/address-text.ts';
import { ProcessListeners } from './process-listeners.ts';

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

export class OwnListeners {
  private readonly byPort = new Map<number, Set<string>>();
  private readonly localAddresses: () => Iterable<string>;
  private process: ProcessListeners | undefined = undefined;
  private isOffered: (port: number) => boolean = () => false;

  /** @param localAddresses of the host's interfaces; asked only for a port that is listened on */
  constructor(localAddresses: () => Iterable<string> = interfaceAddresses) {
    this.localAddresses = localAddresses;
  }

  /** @param address as it was bound: `0.0.0.0` and `::` stand for every address of the host */
  add(address: string, port: number): void {
    const addresses = this.byPort.get(port) ?? new Set();
    this.byPort.set(port, addresses.add(canonical(address)));
  }

  /**
   * Add every listener of this process, now and later.
   *
   * @param isOffered whether a port is for guests too: one that is published, or a server of the demo's
   */
  addProcess(
    isOffered: (port: number) => boolean,
    process: ProcessListeners = new ProcessListeners(),
  ): void {
    this.process = process;
    this.isOffered = isOffered;
  }

  /** Whether a connection to `address` and `port` would reach one. */
  includes(address: string, port: number): boolean {
    const inProcess = this.process?.addressesAt(port);
    return (
      this.reaches(this.byPort.get(port), address) ||
      (this.reaches(inProcess, address) && !this.isOffered(port))
    );
  }

  private reaches(bound: ReadonlySet<string> | undefined, address: string): boolean {
    if (bound === undefined) return false;
    const wanted = canonical(address);
    if (bound.has(wanted)) return true;
    // A socket on `::` takes IPv4 too.
    const wildcard = bound.has('::') || (bound.has('0.0.0.0') && !wanted.includes(':'));
    return wildcard && this.isLocal(wanted);
  }

  private isLocal(address: string): boolean {
    if (address.startsWith('127.') || address === '::1' || WILDCARDS.has(address)) return true;
    for (const local of this.localAddresses()) if (canonical(local) === address) return true;
    return false;
  }
}

const canonical = (text: string): string => parseAddress(text)?.toString() ?? text;

function* interfaceAddresses(): Generator<string> {
  for (const entries of Object.values(networkInterfaces())) {
    for (const { address } of entries ?? []) yield address;
  }
}
