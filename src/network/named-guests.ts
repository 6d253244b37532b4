/** The guests' names in DNS: those that they have by their leases, where DNS can hold them as one label. */
import { isHostName } from '../services/dns/hosts.ts';
import type { NamedGuests } from '../services/dns/local-names.ts';
import type { GuestDirectory } from './guest-directory.ts';

export const namedGuests = (
  directory: Pick<GuestDirectory, 'namedAddresses' | 'nameAt'>,
): NamedGuests => ({
  addressesOf: (name) => directory.namedAddresses(name),
  nameAt: (address) => {
    const name = directory.nameAt(address);
    return name !== undefined && isLabel(name) ? name : undefined;
  },
});

const isLabel = (name: string): boolean => isHostName(name) && !name.includes('.');
