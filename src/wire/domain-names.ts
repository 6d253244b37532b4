/** Domain names in the form of DNS without compression (RFC 1035 §3.1), as in options of IPv6. */

const MAX_LABEL = 63;
const MAX_ENCODED = 255;

/** Names one behind the other. */
export interface NameList {
  readonly data: Uint8Array;
  /** Where each name ends. */
  readonly cuts: readonly number[];
}

/** @returns undefined when DNS cannot hold the name */
export function labelsOf(name: string): readonly string[] | undefined {
  const labels = name.replace(/\.$/, '').split('.');
  const isSound = name.length <= 253 && labels.every((label) => /^[\x21-\x7e]{1,63}$/.test(label));
  return isSound ? labels : undefined;
}

export function pushLabel(bytes: number[], label: string): void {
  bytes.push(label.length);
  for (let at = 0; at < label.length; at++) bytes.push(label.charCodeAt(at));
}

/** Names that DNS cannot hold are left out. */
export function encodeNames(names: readonly string[]): NameList {
  const bytes: number[] = [];
  const cuts: number[] = [];
  for (const name of names) {
    const labels = labelsOf(name);
    if (labels === undefined) continue;
    for (const label of labels) pushLabel(bytes, label);
    bytes.push(0);
    cuts.push(bytes.length);
  }
  return { data: Uint8Array.from(bytes), cuts };
}

/**
 * Of an option that holds one name, fully qualified or the beginning of one (RFC 4704 §4.2).
 *
 * @returns the name without a dot at the end; undefined where it is none, or is compressed
 */
export function decodeName(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const labels: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const len = view.getUint8(at);
    at++;
    if (len === 0) break;
    if (len > MAX_LABEL || at + len > bytes.length) return undefined;
    labels.push(String.fromCharCode(...bytes.subarray(at, at + len)));
    at += len;
  }
  return at === bytes.length && at <= MAX_ENCODED ? labels.join('.') : undefined;
}
