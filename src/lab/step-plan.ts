/** The steps of a guest on a working network, and their expected answers. */
import type { Transfer } from './guest/embedded-guest.ts';
import type { Outcome } from './step-report.ts';

export interface StepPlan {
  readonly gateway: string;
  readonly hostIp: string;
  /** Of the same network; undefined where guests have no IPv6, or do not reach the host by it. */
  readonly ipv6?: Ipv6Plan | undefined;
  /** The file server's, on the host's loopback. */
  readonly port: number;
  readonly sizeBytes: number;
  readonly seed: number;
}

export interface Ipv6Plan {
  readonly gateway: string;
  readonly hostIp: string;
}

const IPV6_BYTES_MAX = 16 << 20;

/** The same by IPv6, with fewer bytes: what is slow was shown by then. */
export function planOfIpv6({ ipv6, ...plan }: StepPlan): StepPlan | undefined {
  if (ipv6 === undefined) return undefined;
  return { ...plan, ...ipv6, sizeBytes: Math.min(plan.sizeBytes, IPV6_BYTES_MAX) };
}

/** A name that hawser answers itself, so that the check needs no internet. */
export const HOST_NAME = 'host.hawser.internal';

/** Of a file server, whatever its address. */
export const bytesPath = ({ sizeBytes, seed }: StepPlan): string =>
  `/bytes/${sizeBytes}?seed=${seed}`;

/** As in a URL (RFC 3986 §3.2.2). */
export const inUrl = (address: string): string =>
  address.includes(':') ? `[${address}]` : address;

const hostUrl = (plan: StepPlan, path: string): string =>
  `http://${inUrl(plan.hostIp)}:${plan.port}${path}`;
export const downloadUrl = (plan: StepPlan): string => hostUrl(plan, bytesPath(plan));
export const uploadUrl = (plan: StepPlan): string => hostUrl(plan, '/sink');

/** Step and address of each. */
export const pings = (plan: StepPlan): readonly (readonly [string, string])[] => [
  ['ping-gateway', plan.gateway],
  ['ping-host', plan.hostIp],
];

/** @throws Error when {@link HOST_NAME} resolved to anything but the host */
export function checkAddress(address: string, plan: StepPlan): Outcome {
  if (address !== plan.hostIp) {
    throw new Error(`${HOST_NAME} is ${address || 'nothing'}, expected ${plan.hostIp}`);
  }
  return { detail: `${HOST_NAME} is ${address}` };
}

/**
 * @param note follows the detail of a success
 * @throws Error when bytes are missing or differ
 */
export function checkTransfer(
  { bytes, sha256, ms }: Transfer,
  sizeBytes: number,
  sum: string,
  note = '',
): Outcome {
  if (bytes !== sizeBytes) throw new Error(`${bytes} bytes of ${sizeBytes} arrived`);
  if (sha256 !== sum) throw new Error(`checksum differs: sha256 ${sha256}, expected ${sum}`);
  return { detail: `sha256 ${sum.slice(0, 12)}… equal${note}`, ms, bytes };
}
