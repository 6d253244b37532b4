/** Features of a virtio network card (virtio 1.2 §5.1.3) that we offer: which side may leave which work to the other. */
import { bit, VIRTIO_F_VERSION_1 } from '../vhost-user/message.ts';

/** The guest may leave checksums to us, and accepts frames whose checksum is left to it. */
const CSUM = bit(0);
const GUEST_CSUM = bit(1);
/** The guest accepts unsegmented TCP frames. */
const GUEST_TSO4 = bit(7);
const GUEST_TSO6 = bit(8);
/** The guest may send unsegmented TCP frames. */
const HOST_TSO4 = bit(11);
const HOST_TSO6 = bit(12);
/** A frame may lie in several buffers of the guest. */
const MRG_RXBUF = bit(15);

export const NET_FEATURES: bigint =
  CSUM | GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6 | HOST_TSO4 | HOST_TSO6 | MRG_RXBUF;

/** Whether a frame may be spread over several buffers that the guest lent. */
export const mergesBuffers = (features: bigint): boolean => has(features, MRG_RXBUF);

/** Whether the guest accepts TCP frames without checksum and unsegmented. */
export const takesOffload = (features: bigint): boolean =>
  has(features, GUEST_CSUM | GUEST_TSO4 | GUEST_TSO6);

/** Whether the header before each frame ends with a count of buffers (§5.1.6). */
export const countsBuffers = (features: bigint): boolean =>
  mergesBuffers(features) || has(features, bit(VIRTIO_F_VERSION_1));

const has = (features: bigint, bits: bigint): boolean => (features & bits) === bits;
