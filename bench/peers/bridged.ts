/** Peers that speak QEMU's stream protocol: one small bridge joins all of them to the guest's TAP. */
import { existsSync } from 'node:fs';
import type { Lab } from '../rig/lab.ts';
import type { Running } from '../rig/running.ts';
import { tool } from '../rig/tools.ts';
import { waitFor } from '../rig/wait.ts';

export const TAP = 'tap0';

/** Connect the guest's TAP to the socket, once `listener` has made it. */
export async function attachBridge(
  lab: Lab,
  mtu: number,
  socket: string,
  listener: Running,
): Promise<void> {
  await waitFor(socket, () => {
    if (!listener.isRunning) throw new Error(`it ended: ${listener.stderr.slice(0, 300)}`);
    return existsSync(socket);
  });
  const args = [
    '-n',
    lab.guest.path,
    '-t',
    TAP,
    '-m',
    String(mtu),
    ...lab.bridgeArgs,
    '-c',
    socket,
  ];
  const bridge = lab.start(lab.host, [tool('tapbridge'), ...args]);
  await bridge.prints(/ready/);
}

export interface GuestAddress {
  readonly cidr: string;
  readonly router?: string;
  readonly device?: string;
}

export function configureGuest(lab: Lab, mtu: number, address: GuestAddress): void {
  const { cidr, router, device = TAP } = address;
  // No duplicate address detection: the address is there at once.
  const isIpv6 = cidr.includes(':');
  lab.guest.ip(
    `link set dev ${device} mtu ${mtu} up`,
    `addr add ${cidr} dev ${device}${isIpv6 ? ' nodad' : ''}`,
    ...(router === undefined ? [] : [`route replace default via ${router}`]),
  );
}
