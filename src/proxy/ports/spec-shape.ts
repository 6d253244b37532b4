/** Publications as a program without types may bring them: what is none must not listen anywhere. */
import { IpAddress } from '../../base/ip-address.ts';

const MAX_PORT = 65_535;

/** @returns why it is no `PublishSpec`, or undefined. What its parts mean together is checked when it is published */
export function specShapeProblem(spec: unknown): string | undefined {
  if (typeof spec !== 'object' || spec === null) return 'it must be a text or an object';
  const { protocol, hostAddress, hostPort, hostPath, guestAddress, guestPort }: SpecParts = spec;
  if (!isPort(guestPort)) return `guestPort must be an integer from 0 to ${MAX_PORT}`;
  if (guestAddress !== undefined && !(guestAddress instanceof IpAddress)) {
    return 'guestAddress must be an IpAddress';
  }
  switch (protocol) {
    case 'unix':
      return typeof hostPath === 'string' && hostPath !== ''
        ? undefined
        : 'hostPath must be a path';
    case 'tcp':
    case 'udp':
      if (!isPort(hostPort)) return `hostPort must be an integer from 0 to ${MAX_PORT}`;
      return isHostAddress(hostAddress)
        ? undefined
        : 'hostAddress must be an IpAddress, or "localhost"';
    default:
      return 'protocol must be tcp, udp or unix';
  }
}

interface SpecParts {
  readonly protocol?: unknown;
  readonly hostAddress?: unknown;
  readonly hostPort?: unknown;
  readonly hostPath?: unknown;
  readonly guestAddress?: unknown;
  readonly guestPort?: unknown;
}

const isHostAddress = (value: unknown): boolean =>
  value === undefined || value === 'localhost' || value instanceof IpAddress;

const isPort = (value: unknown): boolean =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_PORT;
