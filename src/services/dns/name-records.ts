/** Addresses of names that are given and taken while they are served. Bounded, of all names together. */
import { IpAddress } from '../../base/ip-address.ts';
import { isNumeric, statedName } from '../sniff/host-name.ts';
import { reverseName } from './reverse-name.ts';

export const NAME_RECORDS_MAX = 4_096;

export interface NameRecord {
  /** Lower case, without the last dot. */
  readonly name: string;
  readonly address: IpAddress;
}

export class NameRecords {
  private readonly byName = new Map<string, readonly IpAddress[]>();
  /** By reverse names: those that have the address, the first one first. */
  private readonly pointers = new Map<string, readonly string[]>();
  private count = 0;

  list(): readonly NameRecord[] {
    return [...this.byName].flatMap(([name, addresses]) =>
      addresses.map((address) => ({ name, address })),
    );
  }

  /** @returns undefined: it has none here */
  addressesOf(name: string): readonly IpAddress[] | undefined {
    return this.byName.get(name);
  }

  /** @param reverse the name of an address, as a PTR query has it @returns undefined: no name here has it */
  nameAt(reverse: string): string | undefined {
    return this.pointers.get(reverse)?.[0];
  }

  /** One more address of a name. @returns why not; a record that is there already stays as it is */
  add({ name, address }: NameRecord): 'name' | 'full' | undefined {
    if (!isRecordable(name)) return 'name';
    // Of a program without types.
    if (!(address instanceof IpAddress)) throw new TypeError('address must be an IpAddress');
    const known = this.byName.get(name) ?? [];
    if (known.some((one) => one.equals(address))) return undefined;
    if (this.count === NAME_RECORDS_MAX) return 'full';
    this.count++;
    this.byName.set(name, [...known, address]);
    const reverse = reverseName(address);
    this.pointers.set(reverse, [...(this.pointers.get(reverse) ?? []), name]);
    return undefined;
  }

  /** @param address undefined: all of the name @returns how many there were */
  remove(name: string, address?: IpAddress): number {
    const known = this.byName.get(name) ?? [];
    const rest = address === undefined ? [] : known.filter((one) => !one.equals(address));
    if (rest.length === 0) this.byName.delete(name);
    else this.byName.set(name, rest);
    for (const gone of known) if (!rest.includes(gone)) this.unpoint(reverseName(gone), name);
    this.count -= known.length - rest.length;
    return known.length - rest.length;
  }

  private unpoint(reverse: string, name: string): void {
    const rest = this.pointers.get(reverse)?.filter((one) => one !== name) ?? [];
    if (rest.length === 0) this.pointers.delete(reverse);
    else this.pointers.set(reverse, rest);
  }
}

/** A name as it is kept: lower case, without the last dot. */
export const recordName = (text: string): string => text.toLowerCase().replace(/\.$/, '');

/** Those of RFC 6761 and RFC 9462 are always answered in one way. */
const NO_RECORDS = /(?:^|\.)(?:localhost|invalid|resolver\.arpa)$/;
const isRecordable = (name: unknown): boolean =>
  typeof name === 'string' &&
  statedName(name) === name &&
  !isNumeric(name) &&
  !NO_RECORDS.test(name);
