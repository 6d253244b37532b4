/**
 * Lines of HTTP/1 (RFC 9112), read strictly: what two servers could take for different things is refused, since one of
 * them would serve another request than the one that was judged.
 */
import { statedAuthority } from './host-name.ts';

export interface RequestLine {
  readonly method: string;
  /** The host that the target itself names (absolute-form, authority-form), or undefined. */
  readonly host: string | undefined;
  readonly version: '1.0' | '1.1';
}

export interface FieldLine {
  /** In lower case. */
  readonly name: string;
  readonly value: string;
}

/** RFC 9110 §5.6.2: tchar. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e\x80-\xff]+) HTTP\/(1\.[01])$/;
const ABSOLUTE_FORM = /^[a-z][a-z0-9+.-]*:\/\/([^/?#\\@]+)(?:[/?#]|$)/i;
/** RFC 9110 §5.5: VCHAR, obs-text, SP and HTAB. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** @param line without its end, each byte a character */
export function readRequestLine(line: string): RequestLine | undefined {
  const parts = REQUEST_LINE.exec(line);
  if (parts === null) return undefined;
  const [, method = '', target = '', version] = parts;
  const read = { method, version: version === '1.0' ? '1.0' : '1.1' } as const;
  if (method === 'CONNECT') {
    const authority = statedAuthority(target);
    return authority?.port === undefined ? undefined : { ...read, host: authority.host };
  }
  if (target.startsWith('/') || (target === '*' && method === 'OPTIONS')) {
    return { ...read, host: undefined };
  }
  const absolute = ABSOLUTE_FORM.exec(target);
  const authority = absolute === null ? undefined : statedAuthority(absolute[1] ?? '');
  return authority === undefined ? undefined : { ...read, host: authority.host };
}

/** @returns undefined for a fold, a space before the colon, a control byte */
export function readFieldLine(line: string): FieldLine | undefined {
  const colon = line.indexOf(':');
  const name = line.slice(0, Math.max(colon, 0));
  const value = line.slice(colon + 1);
  if (!TOKEN.test(name) || !FIELD_VALUE.test(value)) return undefined;
  return { name: name.toLowerCase(), value: trimmed(value) };
}

/** Without spaces and tabs around it; by a loop, as a pattern for its end takes quadratic time. */
function trimmed(value: string): string {
  let from = 0;
  let to = value.length;
  while (from < to && isBlank(value.charCodeAt(from))) from++;
  while (to > from && isBlank(value.charCodeAt(to - 1))) to--;
  return value.slice(from, to);
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09;

/** @returns undefined for what is no size, or one that no double holds */
export function readChunkSize(line: string): number | undefined {
  const [, digits = ''] = /^([0-9a-f]{1,13})(?:[\t ]*;[\t\x20-\x7e\x80-\xff]*)?$/i.exec(line) ?? [];
  const size = Number.parseInt(digits, 16);
  return Number.isSafeInteger(size) ? size : undefined;
}

export function readContentLength(value: string): number | undefined {
  return /^[0-9]{1,15}$/.test(value) ? Number(value) : undefined;
}
