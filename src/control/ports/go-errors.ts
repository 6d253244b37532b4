/** Errors in the words of Go's standard library, which clients of the drop-in APIs show and match. */
import {
  formatEndpoint,
  type PublishError,
  type PublishSpec,
} from '../../proxy/ports/publish-spec.ts';

const ERRNO: Readonly<Record<string, string>> = {
  EADDRINUSE: 'address already in use',
  EADDRNOTAVAIL: 'cannot assign requested address',
  EAFNOSUPPORT: 'address family not supported by protocol',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EEXIST: 'file exists',
  ENOENT: 'no such file or directory',
  ENOTDIR: 'not a directory',
  EMFILE: 'too many open files',
  ENFILE: 'too many open files in system',
};

/** `listen tcp 127.0.0.1:8080: bind: address already in use`; our own text where Go has none. */
export function goListenError(spec: PublishSpec, error: PublishError): string {
  const errno = ERRNO[error.code];
  if (errno === undefined) return error.message;
  const place =
    spec.protocol === 'unix' ? spec.hostPath : formatEndpoint(spec.hostAddress, spec.hostPort, '');
  return `listen ${spec.protocol} ${place}: bind: ${errno}`;
}

export interface GoSyntaxError {
  /** As `encoding/json` counts it: bytes read before it gave up. */
  readonly offset: number;
  readonly message: string;
}

/** @returns the first value, or why `encoding/json` would not read it */
export function parseGoJson(bytes: Buffer): { readonly value: unknown } | GoSyntaxError {
  const text = bytes.toString('utf8');
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const why = error instanceof Error ? error.message : '';
    const [, end] = /after JSON at position (\d+)/.exec(why) ?? [];
    if (end !== undefined) return { value: JSON.parse(text.slice(0, Number(end))) };
    return describe(text, why);
  }
}

function describe(text: string, why: string): GoSyntaxError {
  const start = text.search(/\S/);
  if (start < 0) return { offset: 0, message: 'EOF' };
  if (/unexpected end|unterminated/i.test(why)) {
    return { offset: text.length, message: 'unexpected EOF' };
  }
  const position = /position (\d+)/.exec(why)?.[1];
  const at = position === undefined ? badIndex(text, start) : Number(position);
  const character = text[at] ?? '';
  const where = at === start ? 'looking for beginning of value' : 'in JSON input';
  return { offset: at + 1, message: `invalid character '${character}' ${where}` };
}

/** V8 gives no position for short texts: the first character that begins no value. */
function badIndex(text: string, start: number): number {
  if (!/[[{"\d\-tfn]/.test(text[start] ?? '')) return start;
  return Math.min(start + 1, text.length - 1);
}

export type HostPort =
  | { readonly host: string; readonly port: string }
  | { readonly problem: string };

/** Go's `net.SplitHostPort`. */
export function splitHostPort(text: string): HostPort {
  const fail = (why: string): HostPort => ({
    problem: text === '' ? why : `address ${text}: ${why}`,
  });
  const colon = text.lastIndexOf(':');
  if (colon < 0) return fail('missing port in address');
  if (text.startsWith('[')) {
    const end = text.indexOf(']');
    if (end < 0) return fail("missing ']' in address");
    if (end + 1 === text.length) return fail('missing port in address');
    if (end + 1 !== colon) return fail('too many colons in address');
    return { host: text.slice(1, end), port: text.slice(colon + 1) };
  }
  const host = text.slice(0, colon);
  if (host.includes(':')) return fail('too many colons in address');
  return { host, port: text.slice(colon + 1) };
}
