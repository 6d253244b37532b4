import type { GuestAddresses } from '../../src/transports/link-context.ts';

/** Every guest may have every address. */
export const ANY_ADDRESS: GuestAddresses = { reserve: () => undefined, release: () => {} };
