/**
 * Where on the host guests may publish: `ADDRESS:PORTS`, such as `127.0.0.1:1024-65535`, `[::1]:8080`
 * or `*:8000-8999`. `0.0.0.0` and `::` allow every address of their family, `*` of both.
 */
import type { IpAddress } from '../../base/ip-address.ts';
import { LOOPBACK4, LOOPBACK6 } from '../../proxy/ports/loopback-pair.ts';
import { formatEndpoint, type HostAddress } from '../../proxy/ports/publish-spec.ts';
import { parsePorts, stripBrackets } from '../../proxy/ports/publish-text.ts';
import { parseAddress } from '../../services/address-text.ts';
import { isWildcard } from './go-addresses.ts';

export interface BindRule {
  /** Undefined: every address of both families. */
  readonly address: IpAddress | undefined;
  readonly first: number;
  readonly last: number;
}

/** Ports that every user may bind, for clients on the host only. */
export const DEFAULT_BIND_RULES: readonly string[] = ['127.0.0.1:1024-65535', '[::1]:1024-65535'];

/** @returns undefined when `text` is not a rule */
export function parseBindRule(text: string): BindRule | undefined {
  const colon = text.lastIndexOf(':');
  const addressText = text.slice(0, Math.max(colon, 0));
  const ports = parsePorts(text.slice(colon + 1), 1);
  const address = parseAddress(stripBrackets(addressText));
  if (ports === undefined || (address === undefined && addressText !== '*')) return undefined;
  return { address, ...ports };
}

export function formatBindRule({ address, first, last }: BindRule): string {
  const start = formatEndpoint(address, first, '*');
  return first === last ? start : `${start}-${last}`;
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
      covers(rule.address, address) &&
      (port === undefined || (port >= rule.first && port <= rule.last)),
  );
}

function covers(rule: IpAddress | undefined, address: IpAddress | undefined): boolean {
  if (rule === undefined) return true;
  if (address === undefined) return false;
  return rule.equals(address) || (isWildcard(rule) && rule.family === address.family);
}
