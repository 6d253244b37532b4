/** Whether two publications want one place on the host, for messages: the system says only that it is in use. */
import type { IpAddress } from '../../base/ip-address.ts';
import { LOOPBACK4, LOOPBACK6 } from './loopback-pair.ts';
import {
  formatHostSide,
  type HostAddress,
  PublishError,
  type PublishSpec,
} from './publish-spec.ts';

/** @returns the error in other words, where one of `published` is what listens there */
export function namingOwn(
  error: unknown,
  spec: PublishSpec,
  published: Iterable<{ readonly spec: PublishSpec }>,
): unknown {
  if (!(error instanceof PublishError) || error.code !== 'EADDRINUSE') return error;
  for (const other of published) {
    if (collide(spec, other.spec)) return ownConflict(spec, other.spec, error);
  }
  return error;
}

/** @param other what is in the way of `spec` */
export function ownConflict(spec: PublishSpec, other: PublishSpec, cause?: Error): PublishError {
  const what = `hawser itself publishes ${formatHostSide(other)} already: see "hawser ports"`;
  const message = `cannot publish ${formatHostSide(spec)}: ${what}`;
  return new PublishError('EADDRINUSE', message, cause === undefined ? {} : { cause });
}

function collide(one: PublishSpec, other: PublishSpec): boolean {
  if (one.protocol === 'unix') return other.protocol === 'unix' && one.hostPath === other.hostPath;
  if (other.protocol === 'unix') return false;
  if (one.protocol !== other.protocol || one.hostPort !== other.hostPort) return false;
  const [mine, theirs] = [addressesOf(one.hostAddress), addressesOf(other.hostAddress)];
  if (mine === undefined || theirs === undefined) return true;
  return mine.some((address) => theirs.some((their) => address.equals(their)));
}

/** @returns undefined for every address of one family or of both */
function addressesOf(host: HostAddress): readonly IpAddress[] | undefined {
  if (host === 'localhost') return [LOOPBACK4, LOOPBACK6];
  return host === undefined || /^(0\.0\.0\.0|::)$/.test(`${host}`) ? undefined : [host];
}
