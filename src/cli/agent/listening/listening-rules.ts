/**
 * Which of the guest's listening sockets appear on the host, and where: rules separated by commas, of which the first that
 * matches a socket decides; one that none matches does not appear.
 *
 *     [no:][tcp:|udp:][ADDRESS:]PORTS[=[HOSTADDRESS:]HOSTPORT | =HOSTADDRESS]
 *
 * ADDRESS is what the socket is bound to, `any` by default: `0.0.0.0` means those that have chosen every address of IPv4,
 * and a network those inside it. `no:` keeps from the host what it matches.
 */
import type { IpAddress } from '../../../base/ip-address.ts';
import type { BoundSocket } from '../../../native/posix.ts';
import { parsePorts, stripBrackets } from '../../../proxy/ports/publish-text.ts';
import { isInside, parseAddress, parsePrefix } from '../../../services/address-text.ts';

export const LISTENING_RULE_FORM =
  '[no:][tcp:|udp:][ADDRESS:]PORTS[=[HOSTADDRESS:]HOSTPORT], where PORTS is a port, a range or *';

export interface ListeningRule {
  readonly isNo: boolean;
  readonly protocol: 'tcp' | 'udp';
  /** Undefined: any. */
  readonly network: { readonly address: IpAddress; readonly bits: number } | undefined;
  readonly first: number;
  readonly last: number;
  /** Of the host; undefined: by the address that the socket is bound to. */
  readonly hostAddress: IpAddress | undefined;
  /** That of `first`; undefined: the same as in the guest. */
  readonly hostPort: number | undefined;
}

const LAST_PORT = 65_535;
/** Every TCP socket. */
export const EVERYTHING = '*';

/** @returns the rule that is none, in words, instead of rules */
export function parseListeningRules(text: string): readonly ListeningRule[] | string {
  const rules: ListeningRule[] = [];
  for (const part of text.split(',').map((one) => one.trim())) {
    if (part === '') continue;
    const parsed = parseRule(part);
    if (parsed === undefined) return `"${part}" must be ${LISTENING_RULE_FORM}`;
    rules.push(parsed);
  }
  return rules;
}

function parseRule(text: string): ListeningRule | undefined {
  const [, no, scheme, socket = '', equals, host = ''] =
    /^(no:)?(?:(tcp|udp):)?([^=]+)(?:(=)(.+))?$/.exec(text) ?? [];
  const guest = endOf(socket, 'any');
  if (guest === undefined || (no !== undefined && equals !== undefined)) return undefined;
  const network = networkOf(guest.address);
  const ports = portsOf(guest.port);
  const place = equals === undefined ? NO_PLACE : placeOf(host);
  if (network === 'bad' || ports === undefined || place === undefined) return undefined;
  const { first, last } = place.ports ?? ports;
  if (last - first !== ports.last - ports.first) return undefined;
  return {
    isNo: no !== undefined,
    protocol: scheme === 'udp' ? 'udp' : 'tcp',
    network,
    ...ports,
    hostAddress: place.address,
    hostPort: place.ports === undefined ? undefined : first,
  };
}

/** `ADDRESS:PORTS` or `PORTS`. An address of IPv6 is in brackets. */
function endOf(text: string, instead: string): { address: string; port: string } | undefined {
  const [, address, port = ''] = /^(?:(.+):)?([\d*-]+)$/.exec(text) ?? [];
  return port === '' ? undefined : { address: address ?? instead, port };
}

function networkOf(text: string): ListeningRule['network'] | 'bad' {
  if (text === 'any') return undefined;
  const plain = stripBrackets(text);
  const address = parseAddress(plain);
  if (address !== undefined && (plain === text) !== plain.includes(':')) {
    return { address, bits: address.family === 4 ? 32 : 128 };
  }
  return parsePrefix(plain.replace(/^\[|\]$/g, '')) ?? 'bad';
}

const portsOf = (text: string): { first: number; last: number } | undefined =>
  text === '*' ? { first: 1, last: LAST_PORT } : parsePorts(text, 1);

interface Place {
  readonly address: IpAddress | undefined;
  readonly ports: { readonly first: number; readonly last: number } | undefined;
}

const NO_PLACE: Place = { address: undefined, ports: undefined };

function placeOf(text: string): Place | undefined {
  const alone = parseAddress(stripBrackets(text));
  if (alone !== undefined) return { address: alone, ports: undefined };
  const end = endOf(text, '');
  const ports = end === undefined ? undefined : parsePorts(end.port, 1);
  if (end === undefined || ports === undefined) return undefined;
  if (end.address === '') return { address: undefined, ports };
  const address = parseAddress(stripBrackets(end.address));
  return address === undefined ? undefined : { address, ports };
}

/** @returns the rule that decides; undefined: the socket is not to appear */
export function ruleFor(
  rules: readonly ListeningRule[],
  { protocol, address, port }: Pick<BoundSocket, 'protocol' | 'address' | 'port'>,
): ListeningRule | undefined {
  const rule = rules.find(
    (one) =>
      one.protocol === protocol &&
      port >= one.first &&
      port <= one.last &&
      (one.network === undefined || isInside(one.network, address)),
  );
  return rule?.isNo === true ? undefined : rule;
}

/** Whether UDP sockets are looked at. */
export const wantsUdp = (rules: readonly ListeningRule[]): boolean =>
  rules.some(({ protocol, isNo }) => protocol === 'udp' && !isNo);
