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
}

export const NO_TARGET: HostTarget = { address: '', port: 0, name: undefined };

/** @param family of the socket; by default the address's own */
export function hostTarget(address: string, port: number, family?: 4 | 6): HostTarget {
  const parsed = parseAddress(address);
  const name = parsed && sockaddrOf(parsed, port, family ?? parsed.family);
  return { address, port, name };
}
