/** Names that a client states to a server: the server name of TLS, the authority of HTTP. */

const MAX_NAME = 253;
const SOUND = /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/;

/** An authority's host, and its port where one is given. */
export interface Authority {
  readonly host: string;
  readonly port: number | undefined;
}

/**
 * @returns the name in lower case without a dot at its end; undefined for what no server has as its name: empty labels,
 *   control bytes, NUL, bytes beyond ASCII (a client states A-labels)
 */
export function statedName(text: string): string | undefined {
  if (text.length <= MAX_NAME && SOUND.test(text)) return text;
  const name = text.toLowerCase().replace(/\.$/, '');
  return name.length <= MAX_NAME && SOUND.test(name) ? name : undefined;
}

/**
 * `uri-host [ ":" port ]` (RFC 9110 §4.2.3, §7.2) without user information.
 *
 * @returns undefined when it is malformed. The host may be an address: `192.0.2.1`, `[2001:db8::1]`
 */
export function statedAuthority(text: string): Authority | undefined {
  const parts = /^(\[[0-9a-f:.]{2,45}\]|[^:[\]]+)(?::([0-9]{0,5}))?$/i.exec(text);
  const [, stated = '', digits = ''] = parts ?? [];
  const host = stated.startsWith('[') ? stated.toLowerCase() : statedName(stated);
  const port = digits === '' ? undefined : Number(digits);
  if (host === undefined || (port !== undefined && port > 0xffff)) return undefined;
  return { host, port };
}

/** Whether resolvers and browsers read it as an IPv4 address: `127.1`, `2130706433`, `0x7f000001`. */
export const isNumeric = (name: string): boolean => /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/i.test(name);
