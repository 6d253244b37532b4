/**
 * Destinations that are not for the proxy, in the form of the variable `no_proxy`: `example.com` is that name and all
 * below it, `.example.com` and `*.example.com` all below it; an address, or a network; `*` everything. A port may follow.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import { isInside, type Prefix, parseAddress, parsePrefix } from '../address-text.ts';
import { statedName } from '../sniff/host-name.ts';

interface Entry {
  /** Undefined: any. */
  readonly port: number | undefined;
  readonly name: string | undefined;
  /** Of a name: the name itself matches too. */
  readonly isItself: boolean;
  readonly prefix: Prefix | undefined;
}

export const NO_PROXY_FORM =
  'example.com, *.example.com, 10.0.0.0/8, [fd00::1] or *, each with :PORT where it is for one';

/** Whether it is of {@link NO_PROXY_FORM}. */
export function isNoProxyEntry(text: string): boolean {
  return readEntry(text) !== undefined;
}

/** A list with commas or spaces. */
export const noProxyEntries = (text: string): string[] =>
  text.split(/[\s,]+/).filter((one) => one !== '');

export class NoProxy {
  private readonly entries: readonly Entry[];

  /** @param entries those that cannot be read match nothing */
  constructor(entries: readonly string[]) {
    this.entries = entries.flatMap((text) => readEntry(text) ?? []);
  }

  /** @param name in lower case, without a dot at its end; or an address, in brackets perhaps */
  hasName(name: string, port: number): boolean {
    const address = parseAddress(name.replace(/^\[|\]$/g, ''));
    if (address !== undefined) return this.hasAddress(address, port);
    return this.entries.some(
      (one) =>
        (one.port === undefined || one.port === port) &&
        (isAny(one) ||
          (one.name !== undefined &&
            ((one.isItself && name === one.name) || name.endsWith(`.${one.name}`)))),
    );
  }

  hasAddress(address: IpAddress, port: number): boolean {
    return this.entries.some(
      (one) =>
        (one.port === undefined || one.port === port) &&
        (isAny(one) || (one.prefix !== undefined && isInside(one.prefix, address))),
    );
  }
}

const isAny = ({ name, prefix }: Entry): boolean => name === undefined && prefix === undefined;

function readEntry(text: string): Entry | undefined {
  const whole = placeOf(text);
  if (whole !== undefined) return { ...whole, port: undefined };
  const [, place = '', digits = ''] = /^(.+):([0-9]{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const one = place === '' || port < 1 || port > 65_535 ? undefined : placeOf(place);
  return one && { ...one, port };
}

function placeOf(text: string): Omit<Entry, 'port'> | undefined {
  const none = { name: undefined, isItself: false, prefix: undefined };
  if (text === '*') return none;
  const bare = /^\[[^\]]*\](?:\/[0-9]+)?$/.test(text) ? text.replace(/[[\]]/g, '') : text;
  const address = parseAddress(bare);
  const prefix =
    address === undefined ? parsePrefix(bare) : { address, bits: address.family === 4 ? 32 : 128 };
  if (prefix !== undefined) return { ...none, prefix };
  const name = statedName(text.replace(/^\*?\./, ''));
  return name === undefined ? undefined : { ...none, name, isItself: !/^\*?\./.test(text) };
}
