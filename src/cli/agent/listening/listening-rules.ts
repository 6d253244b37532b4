/**
 * Which of the guest's listening sockets appear on the host, and where: rules separated by commas, of which the first that
 * matches a socket decides; one that none matches does not appear.
 *
 *     [no:][tcp:|udp:][NETNS@][ADDRESS:]PORTS[=[HOSTADDRESS:]HOSTPORT | =HOSTADDRESS]
 *
 * ADDRESS is what the socket is bound to, `any` by default: `0.0.0.0` means those that have chosen every address of IPv4,
 * and a network those inside it. `no:` keeps from the host what it matches. A rule is for the agent's network namespace, or
 * with NETNS for another: the name that it has in /run/netns, or `*` for all others. A server in another namespace is
 * mostly a container's, which appears when its port is published in the guest; so it is not published unless a rule
 * says so.
 */
import type { IpAddress } from '../../../base/ip-address.ts';
import type { BoundSocket } from '../../../native/posix.ts';
import { parsePorts, stripBrackets } from '../../../proxy/ports/publish-text.ts';
import { isInside, parseAddress, parsePrefix } from '../../../services/address-text.ts';

export const LISTENING_RULE_FORM =
  '[no:][tcp:|udp:][NETNS@][ADDRESS:]PORTS[=[HOSTADDRESS:]HOSTPORT], where PORTS is a port, a range or *';

export interface ListeningRule {
  readonly isNo: boolean;
  readonly protocol: 'tcp' | 'udp';
  /** Its name, or {@link OTHERS}. Undefined: the agent's. */
  readonly netns: string | undefined;
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
/** Every namespace but the agent's. */
export const OTHERS = '*';

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
  const [, no, scheme, netns, socket = '', equals, host = ''] =
    /^(no:)?(?:(tcp|udp):)?(?:([^@=:/]+)@)?([^@=]+)(?:(=)(.+))?$/.exec(text) ?? [];
  const guest = endOf(socket, 'any');
  if (guest === undefined || (no !== undefined && equals !== undefined)) return undefined;
  if (netns !== undefined && scheme === 'udp') return undefined; // nothing dials it there
  const network = networkOf(guest.address);
  const ports = portsOf(guest.port);
  const place = equals === undefined ? NO_PLACE : placeOf(host);
  if (network === 'bad' || ports === undefined || place === undefined) return undefined;
  const { first, last } = place.ports ?? ports;
  if (last - first !== ports.last - ports.first) return undefined;
  return {
    isNo: no !== undefined,
    protocol: scheme === 'udp' ? 'udp' : 'tcp',
    netns,
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

/**
 * @param namespace of the socket; undefined: the agent's
 * @returns the rule that decides; undefined: the socket is not to appear
 */
export function ruleFor(
  rules: readonly ListeningRule[],
  { protocol, address, port }: Pick<BoundSocket, 'protocol' | 'address' | 'port'>,
  namespace?: { readonly name: string | undefined },
): ListeningRule | undefined {
  const rule = rules.find(
    (one) =>
      one.protocol === protocol &&
      isIn(namespace, one.netns) &&
      port >= one.first &&
      port <= one.last &&
      (one.network === undefined || isInside(one.network, address)),
  );
  return rule?.isNo === true ? undefined : rule;
}

function isIn(
  namespace: { readonly name: string | undefined } | undefined,
  netns: string | undefined,
): boolean {
  if (namespace === undefined || netns === undefined) return namespace === netns;
  return netns === OTHERS || netns === namespace.name;
}

/** Whether UDP sockets are looked at. */
export const wantsUdp = (rules: readonly ListeningRule[]): boolean =>
  rules.some(({ protocol, isNo }) => protocol === 'udp' && !isNo);

/** Which namespaces besides the agent's are looked at. */
export function wantedNamespaces(rules: readonly ListeningRule[]): 'none' | 'named' | 'all' {
  const wanted = rules.filter(({ netns, isNo }) => netns !== undefined && !isNo);
  if (wanted.length === 0) return 'none';
  return wanted.some(({ netns }) => netns === OTHERS) ? 'all' : 'named';
}
