/**
 * Which requests are admitted: decided from the headers before the body is read.
 *
 * Access to a Unix socket is controlled by its mode, 0600. No browser connects to one, so any Host that a client
 * makes up (gvproxy's `base`, Docker's `d`) is accepted; a foreign Origin, which only browsers send, is not.
 *
 * A web page in the user's browser can send requests to a TCP port of the loopback, and by DNS
 * rebinding read the answers. So a Host that is a foreign name and an Origin that is not the API's own are
 * refused, token or not. Over TCP every request needs the token as well.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { type ProblemError, problem, quoted } from './problem.ts';

const LOCAL_NAMES: ReadonlySet<string> = new Set(['localhost', 'hawser', '']);

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

export interface Admission {
  /** Undefined over the Unix socket, whose mode is the check. */
  readonly tokenDigest: Buffer | undefined;
}

export const unixAdmission: Admission = { tokenDigest: undefined };
export const tokenAdmission = (token: string): Admission => ({ tokenDigest: digest(token) });

/** @returns why the request is refused, or undefined */
export function refusal(
  request: Pick<IncomingMessage, 'headers' | 'httpVersion'>,
  admission: Admission,
): ProblemError | undefined {
  const { host, origin, authorization } = request.headers;
  if (host === undefined && request.httpVersion !== '1.0') {
    return problem(400, 'The request has no Host header.'); // RFC 9112 §3.2
  }
  const name = (host ?? '').toLowerCase().replace(/:\d{1,5}$/, '');
  // An address literal cannot be rebound by DNS.
  const isLocal = LOCAL_NAMES.has(name) || isIP(name.replace(/^\[|\]$/g, '')) !== 0;
  if (!isLocal && admission.tokenDigest !== undefined) {
    return problem(403, `The Host ${quoted(host ?? '')} is not this API: use localhost.`);
  }
  const isOwn = isLocal && origin?.toLowerCase() === `http://${(host ?? '').toLowerCase()}`;
  if (origin !== undefined && !isOwn) {
    return problem(403, `The Origin ${quoted(origin)} may not use this API.`);
  }
  if (admission.tokenDigest === undefined) return undefined;
  const token = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  // Digests, so that the comparison takes the same time for every length.
  if (token !== undefined && timingSafeEqual(digest(token), admission.tokenDigest))
    return undefined;
  return problem(401, 'Send "Authorization: Bearer TOKEN" with the token of --api-token-file.', {
    'www-authenticate': 'Bearer realm="hawser"',
    connection: 'close',
  });
}
