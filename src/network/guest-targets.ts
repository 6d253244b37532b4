/** What a publication asks for, as it is known now: a guest by its address, by its name or Ethernet address, or the first one. */
import type { IpAddress } from '../base/ip-address.ts';
import type { GuestTarget } from '../proxy/ports/publication-guest.ts';

/** Whatever is behind one link, by its identity. */
export type Behind = object;

export interface Placed {
  readonly address: IpAddress;
  readonly attached: boolean;
}

/** Who may be the first guest. */
export interface Candidate {
  readonly mac: string;
  readonly behind: Behind | undefined;
  /** It has a lease, or uses IPv4: it is no mere bridge. */
  readonly isCertain: boolean;
}

export interface TargetDirectory {
  /** Of the guest with this Ethernet address: its current address, or that of its lease. */
  placeOf(mac: string): Placed | undefined;
  addressesOf(mac: string, client: 4 | 6 | undefined): readonly IpAddress[];
  whoIsAt(address: IpAddress): { readonly mac: string | undefined; readonly attached: boolean };
  /** A guest of IPv6 alone may have claimed its address, and said nothing since. */
  claimant(): Candidate | undefined;
  /** It is known, or not asked for any more. */
  forget(first: FirstGuest): void;
}

export class AddressTarget implements GuestTarget {
  readonly address: IpAddress;
  private readonly directory: TargetDirectory;

  constructor(directory: TargetDirectory, address: IpAddress) {
    this.directory = directory;
    this.address = address;
  }

  get mac(): string | undefined {
    return this.directory.whoIsAt(this.address).mac;
  }

  get attached(): boolean {
    return this.directory.whoIsAt(this.address).attached;
  }

  addressesFor(): readonly IpAddress[] {
    return [this.address];
  }

  release(): void {}
}

export class MacTarget implements GuestTarget {
  private readonly directory: TargetDirectory;
  private readonly find: () => string | undefined;

  constructor(directory: TargetDirectory, find: () => string | undefined) {
    this.directory = directory;
    this.find = find;
  }

  get mac(): string | undefined {
    return this.find();
  }

  get address(): IpAddress | undefined {
    return addressOf(this.directory, this.find());
  }

  get attached(): boolean {
    return isAttached(this.directory, this.find());
  }

  addressesFor(client: 4 | 6 | undefined): readonly IpAddress[] {
    return addressesOf(this.directory, this.find(), client);
  }

  release(): void {}
}

export class FirstGuest implements GuestTarget {
  private chosen: Candidate | undefined = undefined;
  private readonly directory: TargetDirectory;

  constructor(directory: TargetDirectory) {
    this.directory = directory;
  }

  get mac(): string | undefined {
    if (this.chosen === undefined) {
      const claimant = this.directory.claimant();
      if (claimant !== undefined) this.consider(claimant);
    }
    return this.chosen?.mac;
  }

  consider(candidate: Candidate): void {
    const { chosen } = this;
    const isBetter =
      chosen === undefined ||
      (candidate.isCertain &&
        (candidate.mac === chosen.mac ||
          (candidate.behind !== undefined && candidate.behind === chosen.behind)));
    if (!isBetter) return;
    this.chosen = candidate;
    if (candidate.isCertain) this.directory.forget(this);
  }

  get address(): IpAddress | undefined {
    return addressOf(this.directory, this.mac);
  }

  get attached(): boolean {
    return isAttached(this.directory, this.mac);
  }

  addressesFor(client: 4 | 6 | undefined): readonly IpAddress[] {
    return addressesOf(this.directory, this.mac, client);
  }

  release(): void {
    this.directory.forget(this);
  }
}

const addressOf = (directory: TargetDirectory, mac: string | undefined): IpAddress | undefined =>
  mac === undefined ? undefined : directory.placeOf(mac)?.address;

const isAttached = (directory: TargetDirectory, mac: string | undefined): boolean =>
  mac !== undefined && directory.placeOf(mac)?.attached === true;

const addressesOf = (
  directory: TargetDirectory,
  mac: string | undefined,
  client: 4 | 6 | undefined,
): readonly IpAddress[] => (mac === undefined ? [] : directory.addressesOf(mac, client));
