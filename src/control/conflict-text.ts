/** An address conflict as a sentence for people. */
import { plainText } from '../base/plain-text.ts';
import type { ConflictPartyView, ConflictView } from './network-view.ts';

const KINDS: Readonly<Record<ConflictView['kind'], string>> = {
  ethernet: 'Ethernet',
  ipv4: 'IPv4',
  ipv6: 'IPv6',
};

/** `192.168.127.2, the IPv4 address of build (qemu:/run/a.sock#1), is claimed by qemu:/run/b.sock#1`. */
export const conflictText = ({ address, kind, owner, claimant }: ConflictView): string =>
  `${address}, the ${KINDS[kind]} address of ${ownerText(owner)}, is claimed by ${partyText(claimant)}`;

/** With what to do about it. */
export const conflictProblem = (conflict: ConflictView): string =>
  `${conflictText(conflict)}, whose frames with it are dropped: give that VM another ${KINDS[conflict.kind]} address.`;

const ownerText = (owner: ConflictPartyView): string =>
  owner.link === null ? `${nameOf(owner) ?? owner.guestMac} (not attached)` : partyText(owner);

function partyText(party: ConflictPartyView): string {
  const name = nameOf(party);
  return name === undefined ? `${party.link}` : `${name} (${party.link})`;
}

const nameOf = ({ guestName }: ConflictPartyView): string | undefined =>
  guestName === null ? undefined : plainText(guestName);
