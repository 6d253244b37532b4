/** Addresses of servers that the user named, as the host's own resolver has them, remembered for a short time. */
import { lookup } from 'node:dns';
import { errorCode } from '../native/errors.ts';
import { parseAddress } from '../services/address-text.ts';

const KEPT_MS = 30_000;
/** There are as many servers as options name. */
const KEPT_MAX = 16;

/** @param addresses the best first; a text: the system's code for why there are none */
export type OnResolved = (addresses: readonly string[] | string) => void;

interface Known {
  readonly addresses: readonly string[];
  readonly until: number;
}

export class HostLookup {
  private readonly find: typeof lookup;
  private readonly known = new Map<string, Known>();
  private readonly waiting = new Map<string, OnResolved[]>();

  /** @param find default: the host's resolver */
  constructor(find: typeof lookup = lookup) {
    this.find = find;
  }

  /** @param onResolved called at once for an address, and for a name that was resolved lately */
  resolve(host: string, onResolved: OnResolved): void {
    if (parseAddress(host) !== undefined) {
      onResolved([host]);
      return;
    }
    const known = this.known.get(host);
    if (known !== undefined && known.until > performance.now()) {
      onResolved(known.addresses);
      return;
    }
    const waiting = this.waiting.get(host);
    if (waiting !== undefined) {
      waiting.push(onResolved);
      return;
    }
    this.waiting.set(host, [onResolved]);
    this.find(host, { all: true }, (error, found) => {
      if (error !== null || found.length === 0) {
        this.tell(host, error === null ? 'ENOTFOUND' : errorCode(error));
        return;
      }
      const addresses = found.map(({ address }) => address);
      if (this.known.size >= KEPT_MAX) this.known.clear();
      this.known.set(host, { addresses, until: performance.now() + KEPT_MS });
      this.tell(host, addresses);
    });
  }

  /** As far as it is known. */
  isAddressOf(host: string, address: string): boolean {
    return host === address || this.known.get(host)?.addresses.includes(address) === true;
  }

  private tell(host: string, result: readonly string[] | string): void {
    const waiting = this.waiting.get(host) ?? [];
    this.waiting.delete(host);
    for (const onResolved of waiting) onResolved(result);
  }
}
