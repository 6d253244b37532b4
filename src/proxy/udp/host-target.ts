/** The destination of a flow's datagrams, in the forms for native calls and for Node; made once per target. */
import { sockaddrOf } from '../../native/sockaddr.ts';
import { parseAddress } from '../../services/address-text.ts';

export interface HostTarget {
  readonly address: string;
  readonly port: number;
  /** `struct sockaddr`; undefined where the address has a zone, which Node resolves. */
  readonly name: Uint8Array | undefined;
  /** Control message with the address to send from, where that is not the kernel's choice. */
  readonly source?: Uint8Array | undefined;
  /**
   * Whether short datagrams may be passed to the kernel several as one, which it takes apart. Not while their host may
   * refuse them and they are to be sent elsewhere: an error is then about all of them, and does not say where one ends.
   */
  joinsShort: boolean;
}

/** Of an ICMP error, less its headers, nothing is cut off of what is shorter (RFC 1812 §4.3.2.3). */
export const MAX_WHOLE_QUOTE = 500;

export const NO_TARGET: HostTarget = { address: '', port: 0, name: undefined, joinsShort: true };

/** @param family of the socket; by default the address's own */
export function hostTarget(address: string, port: number, family?: 4 | 6): HostTarget {
  const parsed = parseAddress(address);
  const name = parsed && sockaddrOf(parsed, port, family ?? parsed.family);
  return { address, port, name, joinsShort: true };
}
