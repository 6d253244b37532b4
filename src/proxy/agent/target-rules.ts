/**
 * The targets that a peer may have dialled: `[tcp:|udp:]ADDRESS:PORTS` or `unix:PATH`, where ADDRESS is an
 * address, a network or `*`, PORTS a port, a range or `*`, and PATH may end in `*`. Without a protocol,
 * both are meant.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import type { Destination } from '../../mux/destination.ts';
import { isInside, parseAddress, parsePrefix } from '../../services/address-text.ts';
import { parsePorts, pathProblem, stripBrackets } from '../ports/publish-text.ts';

export type TargetRule = UnixRule | IpRule;

interface UnixRule {
  readonly proto: 'unix';
  readonly path: string;
  /** Everything that begins with `path`. */
  readonly isPrefix: boolean;
}

interface IpRule {
  readonly proto: 'tcp' | 'udp' | 'both';
  /** Undefined: every address. */
  readonly network: { readonly address: IpAddress; readonly bits: number } | undefined;
  readonly first: number;
  readonly last: number;
}

export const TARGET_RULE_FORM =
  '[tcp:|udp:]ADDRESS:PORT (ADDRESS may be a network or *, PORT a range or *) or unix:PATH';

const LAST_PORT = 65_535;

/** @returns undefined when the text is not a rule */
export function parseTargetRule(text: string): TargetRule | undefined {
  if (text.startsWith('unix:')) {
    const isPrefix = text.endsWith('*');
    const path = text.slice('unix:'.length, isPrefix ? -1 : undefined);
    return pathProblem(path) === undefined ? { proto: 'unix', path, isPrefix } : undefined;
  }
  const [, scheme, addressText = '', portText = ''] =
    /^(?:(tcp|udp):)?(.+):([\d-]+|\*)$/.exec(text) ?? [];
  const ports = portText === '*' ? { first: 1, last: LAST_PORT } : parsePorts(portText, 1);
  const network = parseNetwork(addressText);
  if (ports === undefined || network === 'bad') return undefined;
  const proto = scheme === 'tcp' || scheme === 'udp' ? scheme : 'both';
  return { proto, network, ...ports };
}

function parseNetwork(text: string): IpRule['network'] | 'bad' {
  if (text === '*') return undefined;
  const plain = stripBrackets(text);
  const address = parseAddress(plain);
  if (address !== undefined) return { address, bits: address.family === 4 ? 32 : 128 };
  return parsePrefix(plain) ?? 'bad';
}

/** Whether one of the rules allows it. */
export function isAllowed(rules: readonly TargetRule[], target: Destination): boolean {
  return rules.some((rule) => matches(rule, target));
}

function matches(rule: TargetRule, target: Destination): boolean {
  if (target.proto === 'unix') {
    if (rule.proto !== 'unix') return false;
    // A path with `..` leaves the directory that it begins with.
    return rule.isPrefix
      ? target.path.startsWith(rule.path) && !target.path.includes('/../')
      : target.path === rule.path;
  }
  if (rule.proto === 'unix' || (rule.proto !== 'both' && rule.proto !== target.proto)) return false;
  if (target.port < rule.first || target.port > rule.last) return false;
  return rule.network === undefined || isInside(rule.network, target.address);
}

/** A single target: `tcp:ADDRESS:PORT`, `udp:ADDRESS:PORT` or `unix:PATH`. @returns undefined for other text */
export function parseTarget(text: string): Destination | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    return pathProblem(path) === undefined ? { proto: 'unix', path } : undefined;
  }
  const [, scheme = 'tcp', addressText = '', portText = ''] =
    /^(?:(tcp|udp):)?(.+):(\d{1,5})$/.exec(text) ?? [];
  const address = parseAddress(stripBrackets(addressText));
  const ports = parsePorts(portText, 1);
  if (address === undefined || ports === undefined) return undefined;
  return { proto: scheme === 'udp' ? 'udp' : 'tcp', address, port: ports.first };
}
