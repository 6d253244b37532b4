/** What a request of HTTP/1 asks for. */
import type { IncomingMessage } from 'node:http';
import { type Authority, statedAuthority } from '../../services/sniff/host-name.ts';
import { fieldsOf, type RawFields } from './http-fields.ts';
import { PageError } from './page-error.ts';

export interface Ask {
  /** In lower case; undefined: it does not say. */
  readonly host: string | undefined;
  readonly port: number;
  /** In origin form, or `*`. */
  readonly path: string;
  /** Of a request in absolute form: what its Host has to be (RFC 9112 §3.2.2). */
  readonly hostField: string | undefined;
}

export const HTTP_PORT = 80;
/** The server itself, of OPTIONS: in absolute form it has no path (RFC 9112 §3.2.4). */
const SERVER = '*';

export const absoluteForm = (host: string, { path }: Ask): string =>
  `http://${host}${path === SERVER ? '' : path}`;

/** @throws PageError for what two servers could read in two ways */
export function readAsk(
  { method, url = '/', rawHeaders }: IncomingMessage,
  isExplicit: boolean,
): Ask {
  const hosts = fieldsOf(rawHeaders).filter(([name]) => name.toLowerCase() === 'host');
  if (hosts.length > 1) throw new PageError(400, 'the request has two Host fields');
  const [, stated, rest] = /^http:\/\/([^/?#]+)([^#]*)/i.exec(url) ?? [];
  if (stated !== undefined) {
    const target = authorityOf(stated);
    const whole = method === 'OPTIONS' ? SERVER : '/';
    const path = rest === undefined || rest === '' ? whole : rest;
    return {
      ...{ host: target.host, port: target.port ?? HTTP_PORT, hostField: stated },
      path: path.startsWith('?') ? `/${path}` : path,
    };
  }
  if (isExplicit) {
    throw new PageError(400, 'this is a proxy: the request must name a URL of http://');
  }
  const host = hosts[0]?.[1];
  const target = host === undefined || host === '' ? undefined : authorityOf(host);
  return {
    ...{ host: target?.host, port: target?.port ?? HTTP_PORT, hostField: undefined },
    path: url,
  };
}

/**
 * The fields, with the Host that belongs to what is asked for.
 *
 * @param otherwise of a request that has none, as of HTTP/1.0 (RFC 9112 §3.2.2)
 */
export function withHost(raw: RawFields, { hostField }: Ask, otherwise: string): string[] {
  const others = fieldsOf(raw).filter(([name]) => name.toLowerCase() !== 'host');
  const isStated = fieldsOf(raw).some(
    ([name, value]) => name.toLowerCase() === 'host' && value !== '',
  );
  if (hostField === undefined && isStated) return [...raw];
  return ['Host', hostField ?? otherwise, ...others.flat()];
}

function authorityOf(text: string): Authority {
  const target = statedAuthority(text);
  if (target === undefined) throw new PageError(400, 'the host cannot be read');
  return target;
}
