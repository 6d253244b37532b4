/**
 * Which web pages may attach guests. A page in the user's browser can connect to a WebSocket of any host, the loopback
 * included, and the browser says by `Origin` which page it is; other clients send none.
 */
import { isIP } from 'node:net';

/** `SCHEME://HOST[:PORT]`, or `null`, which pages of files have. */
export const isOrigin = (text: string): boolean =>
  text === 'null' || /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@]+$/i.test(text);

/**
 * @param allowed origins; with none, a page may attach guests where it was loaded from
 * @returns whether a client may attach
 */
export function mayAttach(
  {
    origin,
    host = '',
  }: { readonly origin?: string | undefined; readonly host?: string | undefined },
  allowed: readonly string[],
): boolean {
  if (origin === undefined) return true;
  const wanted = origin.toLowerCase();
  if (allowed.length > 0) return allowed.some((one) => one.toLowerCase() === wanted);
  const own = host.toLowerCase();
  return isLocalHost(own) && (wanted === `http://${own}` || wanted === `https://${own}`);
}

/** A name other than these may lead here by DNS rebinding: its page is loaded from elsewhere, and has the same host. */
function isLocalHost(host: string): boolean {
  const name = host.replace(/:\d{1,5}$/, '').replace(/^\[|\]$/g, '');
  return name === 'localhost' || isIP(name) !== 0;
}
