/** The TAP that drop-ins for containers make in the namespace of their launcher, and what they ask of the host's interfaces. */
import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import type { IpAddress } from '../../base/ip-address.ts';
import { RunError, UsageError } from '../../network/errors.ts';
import type { TapPlace } from '../tap/tap-tools.ts';

/** The TAP, and the namespaces that it is in. */
export interface PlannedTap {
  readonly place: TapPlace;
  readonly name: string;
  readonly mtu: number;
  readonly mac: string | undefined;
  /** Whether it is set up as a guest would do that. */
  readonly configure: boolean;
  readonly address: IpAddress;
  readonly prefixLen: number;
  readonly gateway: IpAddress;
}

/** What of this process and its host is needed. */
export interface HostInterfaces {
  /** Of this process: the instance's name is its own. */
  readonly pid: number;
  /** The first address of an interface. */
  addressOf(interfaceName: string, family: 4 | 6): string | undefined;
}

export const firstAddressOf =
  (interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): HostInterfaces['addressOf'] =>
  (name, family) =>
    interfaces[name]?.find((one) => one.family === `IPv${family}`)?.address;

/** Where connections come from: addresses, or names of interfaces. */
export interface WantedSource {
  readonly option: string;
  readonly text: string | undefined;
  readonly family: 4 | 6;
}

/** @throws UsageError where an interface has no address */
export const sourcesOf = (wanted: readonly WantedSource[], host: HostInterfaces): string[] =>
  wanted.flatMap(({ option, text, family }) => {
    if (text === undefined) return [];
    if (isIP(text) !== 0) return [text];
    const address = host.addressOf(text, family);
    if (address !== undefined) return [address];
    throw new UsageError([
      `${option} ${text}: no interface of that name has an IPv${family} address`,
    ]);
  });

/** It is there for `tap:` links from then on. @throws RunError, PosixError */
export async function openPlannedTap(planned: PlannedTap): Promise<void> {
  const [{ loadPosix }, { addOpenedTaps }, { openTapTools }] = await Promise.all([
    import('../../native/load.ts'),
    import('../../native/opened-taps.ts'),
    import('../tap/tap-tools.ts'),
  ]);
  const { place, name, mtu, mac, configure, address, prefixLen, gateway } = planned;
  const { netns, userns } = place;
  if (userns !== undefined && existsSync(netns) && !existsSync(userns)) {
    throw new RunError(`cannot open user namespace ${userns}: ENOENT`);
  }
  const bytes = mac?.split(':').map((byte) => Number.parseInt(byte, 16));
  const tap = loadPosix(`open a TAP in ${netns}`).makeTap(openTapTools(place), {
    ...{ name, netns, mtu },
    vnetHdr: true,
    up: configure,
    guest: configure
      ? { mac: bytes && Uint8Array.from(bytes), address, prefixLen, gateway }
      : undefined,
  });
  addOpenedTaps([{ name, netns, tap }]);
}
