/**
 * Where on the host guests may publish: `ADDRESS:PORTS`, such as `127.0.0.1:1024-65535`, `[::1]:8080`
 * or `*:8000-8999`. `0.0.0.0` and `::` allow every address of their family, `*` of both, `127.0.0.0/8` and `[fd00::/8]` those
 * of a network.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import { LOOPBACK4, LOOPBACK6 } from '../../proxy/ports/loopback-pair.ts';
import type { HostAddress } from '../../proxy/ports/publish-spec.ts';
import { parsePorts, stripBrackets } from '../../proxy/ports/publish-text.ts';
import { isInside, type Prefix, parseAddress, parsePrefix } from '../../services/address-text.ts';
import { isWildcard } from './go-addresses.ts';

export interface BindRule {
  /** Undefined: every address of both families. */
  readonly network: Prefix | undefined;
  readonly first: number;
  readonly last: number;
}

/** Ports that every user may bind, for clients on the host only. */
export const DEFAULT_BIND_RULES: readonly string[] = ['127.0.0.0/8:1024-65535', '[::1]:1024-65535'];

/** @returns undefined when `text` is not a rule */
export function parseBindRule(text: string): BindRule | undefined {
  const colon = text.lastIndexOf(':');
  const addressText = text.slice(0, Math.max(colon, 0));
  const ports = parsePorts(text.slice(colon + 1), 1);
  const network = networkOf(addressText);
  if (ports === undefined || (network === undefined && addressText !== '*')) return undefined;
  return { network, ...ports };
}

function networkOf(text: string): Prefix | undefined {
  const plain = stripBrackets(text);
  const address = parseAddress(plain);
  if (address !== undefined) return { address, bits: bitsOf(address) };
  return (plain === text) === plain.includes(':') ? undefined : parsePrefix(plain);
}

const bitsOf = ({ family }: IpAddress): number => (family === 4 ? 32 : 128);

export function formatBindRule({ network, first, last }: BindRule): string {
  const ports = first === last ? `${first}` : `${first}-${last}`;
  if (network === undefined) return `*:${ports}`;
  const { address, bits } = network;
  const text = bits === bitsOf(address) ? `${address}` : `${address}/${bits}`;
  return `${address.family === 4 ? text : `[${text}]`}:${ports}`;
}

/**
 * @param address to listen on; undefined for every one of both families
 * @param port undefined: whether any port is allowed there
 */
export function isAllowed(
  rules: readonly BindRule[],
  address: HostAddress,
  port: number | undefined,
): boolean {
  if (address === 'localhost') {
    return isAllowed(rules, LOOPBACK4, port) && isAllowed(rules, LOOPBACK6, port);
  }
  return rules.some(
    (rule) =>
      covers(rule.network, address) &&
      (port === undefined || (port >= rule.first && port <= rule.last)),
  );
}

function covers(network: Prefix | undefined, address: IpAddress | undefined): boolean {
  if (network === undefined) return true;
  if (address === undefined || network.address.family !== address.family) return false;
  return isInside(network, address) || isWholeFamily(network);
}

const isWholeFamily = ({ address, bits }: Prefix): boolean =>
  isWildcard(address) && bits === bitsOf(address);
