import { onPath } from '../on-path.ts';
import { GuestUnavailableError } from './embedded-guest.ts';

const PACKAGES = { ip: 'iproute2', nsenter: 'util-linux', unshare: 'util-linux' } as const;

/** @throws GuestUnavailableError for the first that is not installed */
export function requirePrograms(...programs: readonly (keyof typeof PACKAGES)[]): void {
  const missing = programs.find((program) => onPath(program) === undefined);
  if (missing === undefined) return;
  throw new GuestUnavailableError(`no ${missing} on this machine (package ${PACKAGES[missing]})`);
}
