/**
 * The TCP listeners of hawser itself: the control API and the sockets where guests attach, and, where the process is
 * hawser's own, every other listener in it, except those that are published ports. A guest that reached one could
 * control the daemon or impersonate another guest, so connections to them are refused, through the host address and
 * through every other address of the host alike.
 *
 * Published ports are not among them: a publication offers a guest's service to every client that reaches the
 * host, other guests included. Nor is an address that a router outside translates to this host's, which
 * cannot be known here: the API's token protects against that.
 */
import { isAddressOfHost } from '../native/address-of-host.ts';
import { parseAddress } from '../services/address-text.ts';
import { type IsOffered, ProcessListeners } from './process-listeners.ts';

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

export class OwnListeners {
  private readonly byPort = new Map<number, Set<string>>();
  private readonly isOfHost: (address: string) => boolean;
  private process: ProcessListeners | undefined = undefined;
  private isOffered: IsOffered = () => false;

  /** @param isOfHost whether an address is the host's own; asked only for a port that is listened on */
  constructor(isOfHost: (address: string) => boolean = isAddressOfHost) {
    this.isOfHost = isOfHost;
  }

  /** @param address as it was bound: `0.0.0.0` and `::` stand for every address of the host */
  add(address: string, port: number): void {
    const addresses = this.byPort.get(port) ?? new Set();
    this.byPort.set(port, addresses.add(canonical(address)));
  }

  /**
   * Add every listener of this process, now and later.
   *
   * @param isOffered whether a listener is for guests too: a published port, or a server of the demo's
   */
  addProcess(isOffered: IsOffered, process: ProcessListeners = new ProcessListeners()): void {
    this.process = process;
    this.isOffered = isOffered;
  }

  /** Whether a connection to `address` and `port` would reach one. */
  includes(address: string, port: number): boolean {
    const own = this.byPort.get(port);
    const others = this.process?.addressesAt(port, this.isOffered);
    if (own === undefined && others === undefined) return false;
    const wanted = canonical(address);
    for (const bound of own ?? []) {
      if (this.reaches(bound, wanted)) return true;
    }
    for (const bound of others ?? []) {
      if (!this.isOffered(bound, port) && this.reaches(bound, wanted)) return true;
    }
    return false;
  }

  /** Whether `port` is one of theirs, at whatever address. */
  hasPort(port: number): boolean {
    if (this.byPort.has(port)) return true;
    for (const bound of this.process?.addressesAt(port, this.isOffered) ?? []) {
      if (!this.isOffered(bound, port)) return true;
    }
    return false;
  }

  private reaches(bound: string, wanted: string): boolean {
    if (bound === wanted) return true;
    // A socket on `::` takes IPv4 too.
    const isWildcard = bound === '::' || (bound === '0.0.0.0' && !wanted.includes(':'));
    return isWildcard && this.isLocal(wanted);
  }

  private isLocal(address: string): boolean {
    if (address.startsWith('127.') || address === '::1' || WILDCARDS.has(address)) return true;
    return this.isOfHost(address);
  }
}

const canonical = (text: string): string => parseAddress(text)?.toString() ?? text;
