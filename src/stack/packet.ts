/** One received IP packet, parsed: a single record, reused for each. Nothing of it is kept. */
import { assert } from '../base/assert.ts';
import { keyGuestPort, keyRemotePort, makeKey } from '../base/flow-key.ts';
import { makeSlab, type Slab } from '../base/slab.ts';
import type { Datagram, EchoRequest } from './flow.ts';
import type { Guest } from './guest.ts';
import type { Neighbor } from './neighbor.ts';

export class Packet implements Datagram, EchoRequest {
  /** Source address, destination address, and ports once the upper layer has set them. */
  readonly key: Int32Array = makeKey();
  family: 4 | 6 = 4;
  slab: Slab = makeSlab(0);
  /** The IP header. */
  l3Off = 0;
  l3HeaderLen = 0;
  protocol = 0;
  ttl = 0;
  /** The upper-layer header. */
  l4Off = 0;
  l4Len = 0;
  /** Of the pseudo-header; negative when the link vouches for the checksum. */
  addressSum = 0;
  neighbor: Neighbor | undefined = undefined;
  /** Whether it came to a broadcast or multicast address. */
  group = false;

  /** Payload of the upper layer: `len` bytes at `off`. */
  off = 0;
  len = 0;
  identifier = 0;
  sequence = 0;

  get owner(): Guest {
    assert(this.neighbor !== undefined, 'a packet without a sender has no owner');
    return this.neighbor.guest;
  }

  get guestPort(): number {
    return keyGuestPort(this.key);
  }

  get remotePort(): number {
    return keyRemotePort(this.key);
  }
}
