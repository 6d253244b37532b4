/** Numbers of guests' connections for `/cam`, in the order in which they are first seen; from 0. */
import type { GuestView } from '../../../control/network-view.ts';

export class ConnectionNumbers {
  private readonly byLink = new Map<string, number>();
  private next = 0;

  /** @returns of each attached Ethernet address */
  of(guests: readonly Pick<GuestView, 'mac' | 'link'>[]): readonly (readonly [string, number])[] {
    const links = new Set(guests.map(({ link }) => link));
    for (const link of this.byLink.keys()) if (!links.has(link)) this.byLink.delete(link);
    return guests.flatMap(({ mac, link }) =>
      link === null ? [] : [[mac, this.numberOf(link)] as const],
    );
  }

  private numberOf(link: string): number {
    const known = this.byLink.get(link);
    if (known !== undefined) return known;
    const number = this.next++;
    this.byLink.set(link, number);
    return number;
  }
}
