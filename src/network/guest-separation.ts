/** The separation of guests from each other: its options, and what the stack is configured with. */
import { parseAddress, parsePrefix } from '../services/address-text.ts';
import { setEthernetKey } from '../stack/separation/ethernet-key.ts';
import type {
  AllowedAddress,
  SeparationConfig,
  SeparationMode,
} from '../stack/separation/separation.ts';
import { macOf } from '../wire/mac.ts';
import type { GuestSeparation } from './config.ts';
import type { OptionProblem } from './option-problem.ts';
import { bad, ok, type Parsed } from './parsed.ts';

const ADDRESS_BITS = 128;
/** Of a v4-mapped address, before those of the IPv4 address. */
const MAPPED_BITS = 96;

export const separationMode = ({ isolate, trust }: GuestSeparation): SeparationMode => {
  if (isolate) return 'isolate';
  return trust ? 'trust' : 'separate';
};

export const separationConfig = (separation: GuestSeparation): SeparationConfig => ({
  mode: separationMode(separation),
  allowed: separation.allowed.flatMap((text) => {
    const parsed = parseAllowedAddress(text);
    return 'value' in parsed ? [parsed.value] : [];
  }),
});

/** `LINK=ADDRESS`; a link may have an equals sign in its path, an address has none. */
export function splitAllowedAddress(text: string): readonly [link: string, address: string] {
  const at = text.lastIndexOf('=');
  return [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
}

export function parseAllowedAddress(text: string): Parsed<AllowedAddress> {
  const [link, address] = splitAllowedAddress(text);
  const range = rangeOf(address);
  return link === '' || range === undefined
    ? bad(
        'must be LINK=ADDRESS: a link as in --listen, and an address or prefix, such as qemu:/run/vm.sock=192.168.127.100',
      )
    : ok({ link, ...range });
}

function rangeOf(text: string): Omit<AllowedAddress, 'link'> | undefined {
  const mac = text.toLowerCase().replaceAll('-', ':');
  if (/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(mac)) {
    const key = new Int32Array(4);
    setEthernetKey(key, macOf(mac));
    return { words: [key[0] ?? 0, key[1] ?? 0, key[2] ?? 0, key[3] ?? 0], bits: ADDRESS_BITS };
  }
  const prefix = parsePrefix(text);
  const address = prefix?.address ?? parseAddress(text);
  if (address === undefined) return undefined;
  const before = prefix === undefined || address.family === 6 ? 0 : MAPPED_BITS;
  return {
    words: [address.a, address.b, address.c, address.d],
    bits: prefix === undefined ? ADDRESS_BITS : before + prefix.bits,
  };
}

/** @returns contradictions between the modes */
export const modeProblems = ({ isolate, trust }: GuestSeparation): OptionProblem[] =>
  isolate && trust
    ? [{ key: 'trustGuests', why: 'contradicts isolateGuests: give one of them' }]
    : [];

/** @returns lists of links that nothing listens on, where no other can be attached */
export function allowedLinkProblems(
  listen: readonly string[],
  { allowed }: GuestSeparation,
): OptionProblem[] {
  return allowed.flatMap((value, index) => {
    if (listen.includes(splitAllowedAddress(value)[0])) return [];
    const why = `must begin with a link that guests attach to: ${listen.join(', ')}`;
    return [{ key: 'allowAddress', index, value, why }];
  });
}
