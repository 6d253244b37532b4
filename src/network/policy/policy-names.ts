/**
 * What the rules of a policy may call a guest: nothing that it says of itself. Whoever sends first from an Ethernet
 * address has it, so a static lease's name is its guest's on the link alone that the lease is bound to.
 */
import type { Guest, GuestLink } from '../../stack/guest.ts';
import { type Mac, macOf } from '../../wire/mac.ts';
import type { StaticLease } from '../config.ts';

interface LeaseName {
  readonly mac: Mac;
  readonly name: string;
}

interface Known {
  readonly link: GuestLink;
  readonly own: readonly string[];
  readonly leases: readonly LeaseName[] | undefined;
}

export class PolicyNames {
  /** By the link's name. */
  private readonly leases = new Map<string, LeaseName[]>();
  /** Of the link that a guest is on, or was on last. */
  private readonly known = new WeakMap<Guest, Known>();

  constructor(leases: readonly StaticLease[]) {
    for (const { mac, hostname, link } of leases) {
      if (hostname === undefined || link === undefined) continue;
      const names = this.leases.get(link) ?? [];
      this.leases.set(link, names);
      names.push({ mac: macOf(mac), name: hostname });
    }
  }

  /** Whether a static lease that is bound to a link has this name. */
  isLease(text: string): boolean {
    return [...this.leases.values()].flat().some(({ name }) => name === text);
  }

  /** The name of its link, with and without the number of the connection, and those of its static leases. */
  readonly of = (guest: Guest): readonly string[] => {
    const known = this.knownOf(guest);
    if (known?.leases === undefined) return known?.own ?? NONE;
    const bound = known.leases.filter(({ mac }) => guest.hasMac(mac)).map(({ name }) => name);
    return [...known.own, ...bound];
  };

  /** What its link is called, or was last, without the number of the connection. */
  readonly linkOf = (guest: Guest): string | undefined => this.knownOf(guest)?.own.at(-1);

  private knownOf(guest: Guest): Known | undefined {
    const { link } = guest;
    const before = this.known.get(guest);
    if (link === undefined || link === before?.link) return before;
    const [plain = link.name] = /^.*(?=#\d+$)/.exec(link.name) ?? [];
    const own = plain === link.name ? [plain] : [link.name, plain];
    const known = { link, own, leases: this.leases.get(plain) };
    this.known.set(guest, known);
    return known;
  }
}

const NONE: readonly string[] = [];
